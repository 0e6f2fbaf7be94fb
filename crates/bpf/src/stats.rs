use std::ops::AddAssign;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What the program counted for one port since the port was attached.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct PortStats {
    /// Frames of the guest that an entry covered, those that it dropped included.
    pub from_guest_packets: u64,
    /// Their bytes, Ethernet header included.
    pub from_guest_bytes: u64,
    /// Frames delivered to the guest.
    pub to_guest_packets: u64,
    /// Their bytes.
    pub to_guest_bytes: u64,
    /// Frames of the guest given to the agent, re-simulations included.
    pub exceptions: u64,
    /// Frames dropped because the port had used up its exceptions.
    pub rate_limited_packets: u64,
    /// Their bytes.
    pub rate_limited_bytes: u64,
    /// Frames given to the agent because their entry was stale.
    pub resimulations: u64,
    /// Frames delivered by a stale entry, beyond the budget or while the agent was silent.
    pub stale_forwarded: u64,
    /// Frames dropped by an entry.
    pub dropped_packets: u64,
    /// Their bytes.
    pub dropped_bytes: u64,
}

impl AddAssign for PortStats {
    fn add_assign(&mut self, other: PortStats) {
        self.from_guest_packets += other.from_guest_packets;
        self.from_guest_bytes += other.from_guest_bytes;
        self.to_guest_packets += other.to_guest_packets;
        self.to_guest_bytes += other.to_guest_bytes;
        self.exceptions += other.exceptions;
        self.rate_limited_packets += other.rate_limited_packets;
        self.rate_limited_bytes += other.rate_limited_bytes;
        self.resimulations += other.resimulations;
        self.stale_forwarded += other.stale_forwarded;
        self.dropped_packets += other.dropped_packets;
        self.dropped_bytes += other.dropped_bytes;
    }
}
