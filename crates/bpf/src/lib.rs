//! The eBPF flow engine: the accelerated path of veth and TAP guests, in the kernel.
//!
//! A TC program sits on the host side of each guest's interface, and another on the uplink that
//! joins the host to others by VXLAN. It finds the frame's flow with
//! one exact-match lookup and executes the entry: addresses rewritten, counters moved, the frame
//! redirected to the receiving guest without passing the host's stack, or into a tunnel and to the
//! uplink, on the way the host's own routes and neighbours give. A frame without a current entry is
//! an *exception*: it goes to a device whose ingress the agent reads with a packet socket, its port
//! told by a VLAN tag in the metadata. No guest's frame ever falls through to the host, and on the
//! uplink all that is not VXLAN to the host's provider address does.
//!
//! # Lifecycle
//! 1. [`supported`] says what this kernel can do; [`BpfEngine::open`] loads the program, and takes
//!    over what an earlier agent left in the pin directory ([`Takeover`]).
//! 2. [`BpfEngine::set_exception_device`], then [`BpfEngine::attach`] for each port. A port starts
//!    synthetic: all its frames are exceptions until [`FlowEngine::set_mode`].
//! 3. Pairs come and go through [`FlowEngine`]; generations and mapping versions are published with
//!    [`BpfEngine::set_generations`] and [`BpfEngine::set_mapping_versions`].
//!    [`BpfEngine::heartbeat`] says every now and then that the agent lives: while it does not,
//!    stale entries go on as they are, for an agent that dies must stop no connection.
//! 4. Dropping the engine leaves everything in place and running. [`unload_everything`] ends it.
//!
//! # Who holds what
//! Maps and links are pinned in a bpffs directory, so kernel and agent live apart: the kernel
//! forwards while the agent restarts, and the new agent replaces the program under the traffic.
//!
//! # Limits
//! 4093 ports, [`Config::flows_max`] entries (two per connection), 65,536 mapping slots, as many
//! NICs, providers and VNIs that may be reached over the uplink, and per port and for the uplink a
//! budget of exceptions and of re-simulations. Without an uplink, flows that leave the host are
//! refused ([`flow::Refusal::Encapsulation`]) and stay with the switch.
#![warn(missing_docs)]

mod abi;
mod attach;
mod config;
mod engine;
mod error;
mod execute;
mod map;
mod open;
mod pins;
mod ports;
mod segments;
mod shared;
mod stats;
mod support;
mod sweep;
mod sys;
mod teardown;
mod test_run;
mod uplink;

pub use attach::{DeviceKind, PortAttachment};
pub use config::{Config, Hook};
pub use engine::BpfEngine;
pub use error::{AttachError, MapError, OpenError, TestRunError};
pub use flow::FlowEngine;
pub use open::{AttachedPort, Takeover};
pub use stats::PortStats;
pub use support::{KernelSupport, KernelVersion, Unsupported, supported};
pub use teardown::unload_everything;
pub use test_run::{Outcome, TestRun, TestVerdict};
pub use uplink::UplinkAttachment;

/// The programs, as `cargo xtask bpf` builds them from `programs/flow.bpf.c`.
static OBJECT: &[u8] = aya::include_bytes_aligned!("programs/flow.bpf.o");
