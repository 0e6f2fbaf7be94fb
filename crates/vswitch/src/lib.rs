//! The virtual switch: what happens to a frame a guest sent.
//!
//! Sans-io: frames, time and the compiled policy are handed in; what is to be sent, installed in an
//! engine or removed from it is handed out. So the same code runs in the agent, in tests, under a
//! fuzzer and inside `explain`.
//!
//! Key types: [`Switch`] holds ports, flows and fragments, and judges frames
//! ([`Switch::process`]); [`Outcome`] says what became of one; [`EngineWork`] is what flow engines
//! have to be told; [`Explanation`] is the slow path seen by an observer.
//!
//! Lifecycle: `Switch::new`, [`Switch::publish`] a policy, [`Switch::add_port`] for each guest NIC,
//! then for each batch: `process` every frame, hand [`Switch::take_work`] to the engine, send, let
//! the engine activate. [`Switch::sweep`] and [`Switch::advertise`] now and then.
//!
//! Limits: flows per port and in all, remembered fragments, first packets and re-simulations per
//! second; each is a field of [`Limits`], each full state has its drop reason or its counter.
#![forbid(unsafe_code)]

mod admission;
mod batch;
mod configuration;
mod explain;
mod follow;
mod fragments;
mod icmp_error;
mod judge;
mod limiter;
mod neighbour;
mod packet;
mod port;
mod sweep;
mod switch;
mod tier_one;
mod tunnelled;
mod uplink;

pub use explain::{Explanation, FlowView, LayerStep, PathStep, Probe};
pub use judge::router_mac;
pub use port::{PortCounters, PortView};
pub use sweep::Adopted;
pub use switch::{EngineWork, Gso, Limits, Outcome, Switch};
pub use uplink::FromUplink;
