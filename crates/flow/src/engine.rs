use std::fmt;

use crate::{Counters, FlowKey, FlowPair, Half, PortId, Stamp, TcpFlags};

/// Who executes the flows of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PortMode {
    /// The switch: the engine hands every frame up.
    Synthetic,
    /// The engine, for flows it holds.
    Accelerated,
}

/// Why an engine does not take a flow. The answer reaches the user (`nic flows --not-offloaded`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The engine cannot push an outer header.
    Encapsulation,
    /// The engine's table is full.
    TableFull,
    /// The receiving port has no device the engine can deliver to.
    NoDevice,
    /// The operating system refused the entry, with this errno.
    System(i32),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Encapsulation => f.write_str("the engine cannot encapsulate"),
            Refusal::TableFull => f.write_str("the engine's flow table is full"),
            Refusal::NoDevice => f.write_str("the receiver has no device the engine knows"),
            Refusal::System(errno) => write!(f, "the kernel refused the entry (errno {errno})"),
        }
    }
}

/// A pair that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstallError {
    /// The key of the half that was refused; neither half of its pair is in the engine.
    pub key: FlowKey,
    /// Why.
    pub refusal: Refusal,
}

/// What an engine counted for one key since the entry was installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineCounters {
    /// Whose counters these are.
    pub key: FlowKey,
    /// Packets, bytes, the flags seen and when the last packet came.
    pub counters: Counters,
}

/// Executes flows outside the switch: `bpf` in the kernel, `softnic` in guest memory, `switchdev`
/// in a NIC.
///
/// Lifecycle of a pair: [`install`](FlowEngine::install) puts both halves in *deactivated*, which
/// reserves their room and gets any refusal early; the switch then sends the packet that opened the
/// flow; [`activate`](FlowEngine::activate) lets the engine execute. So no later packet of the flow
/// overtakes the first. A deactivated entry acts as if it were absent.
///
/// Batches cross this trait, packets do not.
pub trait FlowEngine: Send {
    /// The engine's name, as users know it.
    fn name(&self) -> &'static str;

    /// Puts pairs in, deactivated, replacing entries of the same key. Refused pairs are appended to
    /// `refused`, and leave nothing behind.
    fn install(&mut self, pairs: &[FlowPair], refused: &mut Vec<InstallError>);

    /// Lets the engine execute the installed entries with these keys. Unknown keys are ignored. An
    /// engine may let everything act that was installed before, so whoever installs in batches
    /// activates each before the next.
    fn activate(&mut self, keys: &[FlowKey]);

    /// Takes entries out. The counters they had are appended to `last`, for entries that were in.
    fn remove(&mut self, keys: &[FlowKey], last: &mut Vec<EngineCounters>);

    /// Gives existing entries new stamps, keeping what they do and count.
    fn restamp(&mut self, stamps: &[(FlowKey, Stamp)]);

    /// Adds flags that the switch saw to those that existing entries have seen, keeping what they do
    /// and count. So whoever comes upon the entries ([`dump`](FlowEngine::dump)) can tell how far a
    /// connection has come, whichever path its segments took.
    fn note_flags(&mut self, seen: &[(FlowKey, TcpFlags)]);

    /// Appends the counters of these keys, for entries that are in.
    fn read(&mut self, keys: &[FlowKey], counters: &mut Vec<EngineCounters>);

    /// Everything the engine holds, with its counters: how an agent that restarted finds its flows.
    /// The flag tells active entries; both halves of a pair are reported, each by itself, and
    /// [`Half::peer`] is what joins them.
    fn dump(&mut self, visit: &mut dyn FnMut(&Half, &Counters, bool));

    /// Switches a port between synthetic and accelerated; one store, so it may be done under load.
    fn set_mode(&mut self, port: PortId, mode: PortMode) -> Result<(), Refusal>;
}
