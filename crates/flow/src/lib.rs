//! Flows: what the switch decided once for a connection, in the form every packet after the first
//! can use.
//!
//! A connection is a [`FlowPair`]: one entry per direction, each an exact [`FlowKey`] and the
//! [`Transposition`] that turns a frame as the sender wrote it into the frame the receiver gets,
//! or the drop. [`FlowTable`] is the software home of the pairs; a [`FlowEngine`] executes copies
//! of them elsewhere (in the kernel, in a NIC).
//!
//! Invariants: this crate knows nothing of policy, reads no clock (time is a [`Tick`] handed in),
//! does no I/O, and allocates nothing after [`FlowTable::with_limits`].
#![forbid(unsafe_code)]

mod apply;
mod drop_reason;
mod engine;
mod key;
mod outer;
mod table;
mod tcp;
mod tick;
mod timeouts;
mod transposition;

pub use apply::{ApplyError, UnderlayLink, apply, encapsulate, encapsulate_ip, outer_source_port};
pub use drop_reason::{DropCounters, DropReason};
pub use engine::{EngineCounters, FlowEngine, InstallError, PortMode, Refusal};
pub use key::{FlowKey, PortId};
pub use outer::{HEADROOM, push_in_place};
pub use table::{
    Basis, Counters, FlowEntry, FlowId, FlowPair, FlowTable, Half, Hint, Hit, InsertError, Limits,
    Offload, Removal, Removed, Stamp, UpdateError,
};
pub use tcp::{TcpState, telling_flags};
pub use tick::Tick;
pub use timeouts::Timeouts;
pub use transposition::{Encap, Transposition, Verdict};
pub use wire::{Family, TcpFlags};
