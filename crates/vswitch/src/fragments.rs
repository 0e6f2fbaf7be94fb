//! The fragments that follow a first one carry no ports; this remembers which ports they belong to
//! (SEMANTICS D7: short-lived, tied to the first fragment, nothing before it).

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use flow::{DropReason, PortId, Tick};
use foldhash::quality::FixedState;
use hashbrown::HashMap;
use wire::IpPacket;

use crate::Switch;
use crate::packet::Packet;

/// What all fragments of a packet share (RFC 791, 3.2; RFC 8200, 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FragmentKey {
    pub(crate) port: PortId,
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) id: u32,
}

#[derive(Clone, Copy, Debug)]
struct Remembered {
    ports: (u16, u16),
    until: Tick,
}

/// A table of fixed size. A port that fills its share loses only its own packets.
#[derive(Debug)]
pub(crate) struct FragmentTable {
    entries: HashMap<FragmentKey, Remembered, FixedState>,
    per_port: Vec<u32>,
    max: usize,
    per_port_max: u32,
    /// When a full table may be searched again for what has run out of time.
    search_after: Tick,
}

/// Into how many parts a timeout is divided by searches of a full table: whoever fills it makes it
/// be searched so often, and not with every frame.
const SEARCHES_PER_TIMEOUT: u32 = 64;

/// There is no room for another fragmented packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl FragmentTable {
    pub(crate) fn with_limits(max: NonZeroU32, per_port_max: NonZeroU32, seed: u64) -> Self {
        let capacity = max.get() as usize;
        FragmentTable {
            entries: HashMap::with_capacity_and_hasher(capacity, FixedState::with_seed(seed)),
            per_port: vec![0; usize::from(PortId::MAX.0) + 1],
            max: capacity,
            per_port_max: per_port_max.get(),
            search_after: Tick::default(),
        }
    }

    /// Remembers a first fragment's ports.
    pub(crate) fn remember(
        &mut self,
        key: FragmentKey,
        ports: (u16, u16),
        now: Tick,
        timeout: Duration,
    ) -> Result<(), Full> {
        let until = now + timeout;
        if let Some(entry) = self.entries.get_mut(&key) {
            *entry = Remembered { ports, until };
            return Ok(());
        }
        let slot = usize::from(key.port.guest().0);
        if self.is_full(slot) && now >= self.search_after {
            self.search_after = now + timeout / SEARCHES_PER_TIMEOUT;
            self.expire(now);
        }
        if self.is_full(slot) {
            return Err(Full);
        }
        self.per_port[slot] += 1;
        self.entries.insert(key, Remembered { ports, until });
        Ok(())
    }

    /// The ports of the packet this fragment belongs to.
    pub(crate) fn ports(&self, key: &FragmentKey, now: Tick) -> Option<(u16, u16)> {
        self.entries
            .get(key)
            .filter(|entry| now < entry.until)
            .map(|entry| entry.ports)
    }

    /// Forgets what has run out of time.
    pub(crate) fn expire(&mut self, now: Tick) {
        let per_port = &mut self.per_port;
        self.entries.retain(|key, entry| {
            let alive = now < entry.until;
            if !alive {
                per_port[usize::from(key.port.guest().0)] -= 1;
            }
            alive
        });
    }

    /// Forgets what a port sent, and what came off the uplink for it.
    pub(crate) fn forget_port(&mut self, port: PortId) {
        self.entries.retain(|key, _| key.port.guest() != port);
        if let Some(count) = self.per_port.get_mut(usize::from(port.0)) {
            *count = 0;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn is_full(&self, slot: usize) -> bool {
        self.entries.len() >= self.max || self.per_port[slot] >= self.per_port_max
    }
}

impl Switch {
    /// Gives a later fragment the ports of the first.
    pub(crate) fn reassociate(
        &self,
        packet: Packet,
        ip: &IpPacket,
        now: Tick,
    ) -> Result<Packet, DropReason> {
        let key = fragment_key(&packet, ip).ok_or(DropReason::Malformed)?;
        let (source, destination) = self
            .fragments
            .ports(&key, now)
            .ok_or(DropReason::FragmentWithoutFirst)?;
        Ok(packet.with_ports(source, destination))
    }

    pub(crate) fn remember_fragment(
        &mut self,
        packet: &Packet,
        ip: &IpPacket,
        now: Tick,
    ) -> Result<(), DropReason> {
        let Some(key) = fragment_key(packet, ip) else {
            return Ok(());
        };
        if packet.later_fragment {
            return Ok(());
        }
        let ports = (packet.key.source_port(), packet.key.destination_port());
        self.fragments
            .remember(key, ports, now, self.timeouts.fragment)
            .map_err(|_| DropReason::FragmentTableFull)
    }
}

fn fragment_key(packet: &Packet, ip: &IpPacket) -> Option<FragmentKey> {
    let fragment = ip.fragment?;
    Some(FragmentKey {
        port: packet.key.port(),
        src: ip.src,
        dst: ip.dst,
        protocol: ip.proto,
        id: fragment.id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn key(port: u16, id: u32) -> FragmentKey {
        let address = |last| IpAddr::from([10, 0, 0, last]);
        FragmentKey {
            port: PortId(port),
            src: address(4),
            dst: address(5),
            protocol: 17,
            id,
        }
    }

    fn table(max: u32, per_port: u32) -> FragmentTable {
        let limit = |n| NonZeroU32::new(n).expect("tests use limits above zero");
        FragmentTable::with_limits(limit(max), limit(per_port), 7)
    }

    #[test]
    fn later_fragments_find_the_ports_until_the_time_is_up() {
        let mut table = table(8, 8);
        table
            .remember(key(1, 9), (40_000, 53), Tick(0), SECOND)
            .expect("room");
        assert_eq!(
            table.ports(&key(1, 9), Tick(999_999_999)),
            Some((40_000, 53))
        );
        assert_eq!(table.ports(&key(1, 9), Tick(1_000_000_000)), None);
        assert_eq!(table.ports(&key(1, 8), Tick(0)), None, "another packet");
        assert_eq!(table.ports(&key(2, 9), Tick(0)), None, "another port");
    }

    #[test]
    fn a_port_that_fills_its_share_leaves_room_for_others() {
        let mut table = table(8, 2);
        for id in 0..2 {
            table
                .remember(key(1, id), (1, 2), Tick(0), SECOND)
                .expect("room");
        }
        assert_eq!(
            table.remember(key(1, 2), (1, 2), Tick(0), SECOND),
            Err(Full)
        );
        assert_eq!(table.remember(key(2, 2), (1, 2), Tick(0), SECOND), Ok(()));
        let later = Tick(2_000_000_000);
        assert_eq!(
            table.remember(key(1, 2), (1, 2), later, SECOND),
            Ok(()),
            "the old ones aged"
        );
        assert_eq!(table.len(), 1);
    }
}
