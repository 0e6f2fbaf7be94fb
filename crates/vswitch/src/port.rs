use flow::{DropCounters, PortMode};

use crate::limiter::Limiter;

/// What the switch itself counted for a port; an engine's share is the engine's to report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortCounters {
    /// Frames the guest sent that came through the switch.
    pub from_guest_packets: u64,
    /// Their bytes.
    pub from_guest_bytes: u64,
    /// Frames the switch sent to the guest, its own answers included.
    pub to_guest_packets: u64,
    /// Their bytes.
    pub to_guest_bytes: u64,
    /// Frames the policy was walked for.
    pub first_packets: u64,
    /// Frames that made a stale flow be looked at anew.
    pub resimulations: u64,
    /// Frames of a stale flow that went the old way because the re-simulation rate was used up.
    pub stale_forwarded: u64,
    /// ARP, neighbour discovery and ICMP errors the switch answered itself.
    pub answered: u64,
    /// What ended here, by reason.
    pub drops: DropCounters,
}

/// A port as it stands.
#[derive(Clone, Debug)]
pub struct PortView<'a> {
    /// Who is to execute its flows.
    pub mode: PortMode,
    /// Whether a device is attached.
    pub up: bool,
    /// What was counted.
    pub counters: &'a PortCounters,
    /// Flow directions keyed at this port.
    pub flows: u32,
}

#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) mode: PortMode,
    pub(crate) up: bool,
    pub(crate) counters: PortCounters,
    pub(crate) first_packets: Limiter,
    pub(crate) resimulations: Limiter,
    pub(crate) icmp_errors: Limiter,
}
