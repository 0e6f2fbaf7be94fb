//! Policy: what a NIC may send and receive, where its packets go, and where addresses live,
//! compiled from plain values into a form whose cost hardly depends on how much of it there is.
//!
//! A [`PolicyInput`](input::PolicyInput) goes through the [`Compiler`] and becomes a [`Snapshot`]:
//! immutable, shared, with one [`NicPolicy`] per port and one table of mappings. A new connection
//! is judged by [`NicPolicy::outbound`] at its sender, finds its way by [`NicPolicy::route`] and
//! [`Snapshot::mapping`], and is judged by [`NicPolicy::inbound`] at its receiver. Whoever wants to
//! know why hands in an [`Observer`]; explaining is the same evaluation, watched.
//!
//! [`naive`] decides the same by linear scans over the input: the oracle of every test here and of
//! those who build on this crate.
//!
//! Invariants: no I/O, no clock, no thread, no `unsafe`; nothing here knows of resource JSON or of
//! packet bytes; evaluation allocates nothing and takes no lock.
#![forbid(unsafe_code)]

pub mod input;

mod classifier;
mod compiler;
mod error;
mod intervals;
mod limits;
mod mapping;
pub mod naive;
mod nic;
mod observer;
mod providers;
mod route_table;
mod rule_set;
mod segment;
mod snapshot;
mod tuple;

pub use compiler::Compiler;
pub use error::{CompileError, Counted};
pub use limits::Limits;
pub use mapping::{MappingChange, MappingSlot};
pub use nic::{Judgement, NicPolicy};
pub use observer::{Direction, LayerView, MappingView, Observer, RuleView};
pub use route_table::{Overridden, RouteRef};
pub use segment::Segment;
pub use snapshot::Snapshot;
pub use tuple::Tuple;

#[cfg(test)]
mod tests;
