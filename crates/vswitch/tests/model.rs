//! What the tests share: small worlds, a bench that sends frames through a switch in one of them,
//! and a second switch that does the same without a flow table or a compiled policy.

pub(crate) mod afar;
pub(crate) mod bench;
pub(crate) mod naive_switch;
pub(crate) mod ops;
pub(crate) mod rules;
pub(crate) mod strategies;
pub(crate) mod world;
