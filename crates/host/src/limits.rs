//! What a host and its NICs may hold and do, unless the topology says otherwise.

use std::num::NonZeroU32;

use model::HostSettings;
use vswitch::Limits;

/// Flow directions of all NICs: at most 128 bytes each, taken as they are first used.
const FLOWS_MAX: NonZeroU32 = NonZeroU32::new(1 << 20).expect("above zero");

/// Flow directions of one NIC (SEMANTICS part 1 H: 500,000 each way per VM).
const FLOWS_PER_NIC_MAX: NonZeroU32 = NonZeroU32::new(500_000).expect("above zero");

/// Fragmented packets remembered at once, on the host and of one NIC.
const FRAGMENTS_MAX: NonZeroU32 = NonZeroU32::new(16_384).expect("above zero");
const FRAGMENTS_PER_NIC_MAX: NonZeroU32 = NonZeroU32::new(1_024).expect("above zero");

/// First packets a second of one NIC. Above what one switch thread judges, so that a single busy
/// guest is not held back on an idle host; a guest that floods still leaves room in each window.
const FIRST_PACKETS_PER_SECOND: u32 = 500_000;

/// Flows of one NIC that follow a change in a second; the others go the old way meanwhile.
const RESIMULATIONS_PER_SECOND: u32 = 100_000;

/// How many flow directions there may be. Tables and maps are made with it, so it is as it was when
/// the agent started.
pub(crate) fn flows_max(host: &HostSettings) -> NonZeroU32 {
    host.flows.and_then(NonZeroU32::new).unwrap_or(FLOWS_MAX)
}

/// The limits under these settings.
pub(crate) fn of(host: &HostSettings) -> Limits {
    Limits {
        flows_max: flows_max(host),
        flows_per_port_max: host
            .flows_per_nic
            .and_then(NonZeroU32::new)
            .unwrap_or(FLOWS_PER_NIC_MAX),
        fragments_max: FRAGMENTS_MAX,
        fragments_per_port_max: FRAGMENTS_PER_NIC_MAX,
        first_packets_per_second: host
            .exceptions_per_second
            .unwrap_or(FIRST_PACKETS_PER_SECOND),
        resimulations_per_second: host
            .resimulations_per_second
            .unwrap_or(RESIMULATIONS_PER_SECOND),
    }
}
