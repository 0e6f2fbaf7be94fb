//! The switch again, as simply as it can be said: every packet walks the naive policy.
//!
//! What it keeps of a connection is what a firewall has to: who opened it, the flags and the times
//! of its packets, since when its rules hold. It keeps no path, no verdict of a connection and no
//! compiled form. Refusals are kept, because a refusal that is remembered is what it was when it was
//! remembered. It has no limits.

mod afar;
mod connections;
mod frames;
mod uplink;
mod ways;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use flow::{DropReason, FlowKey, FlowTable, PortId, TcpState, Tick, Timeouts};
use policy::MappingSlot;
use policy::input::{NicInput, PolicyInput};
use vswitch::{Gso, Outcome, PortCounters};
use wire::{IpPacket, Kind, L4, MacAddr, dissect};

use self::connections::Entry;
use self::frames::Parts;
pub(crate) use self::frames::sum_ipv4_header;

/// What the naive switch says of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) outcome: Outcome,
    /// The frame as it is sent; none when it ends here.
    pub(crate) frame: Option<Vec<u8>>,
    pub(crate) replies: bool,
}

#[derive(Clone, Debug, Default)]
struct Port {
    up: bool,
    counters: PortCounters,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct FragmentKey {
    port: PortId,
    src: IpAddr,
    dst: IpAddr,
    protocol: u8,
    id: u32,
}

pub(crate) struct NaiveSwitch {
    input: PolicyInput,
    /// How often something changed in a mapping slot.
    versions: HashMap<MappingSlot, u32>,
    ports: BTreeMap<PortId, Port>,
    entries: HashMap<FlowKey, Entry>,
    fragments: HashMap<FragmentKey, ((u16, u16), Tick)>,
    timeouts: Timeouts,
    /// How often a connection followed its opener to another host, or here.
    pub(crate) relocations: u32,
}

type Judged<T> = Result<T, DropReason>;

impl NaiveSwitch {
    pub(crate) fn new(input: &PolicyInput) -> NaiveSwitch {
        let up = Port {
            up: true,
            ..Port::default()
        };
        NaiveSwitch {
            input: input.clone(),
            versions: HashMap::new(),
            ports: input
                .nics
                .iter()
                .map(|nic| nic.port)
                .chain([PortId::UPLINK])
                .map(|port| (port, up.clone()))
                .collect(),
            entries: HashMap::new(),
            fragments: HashMap::new(),
            timeouts: Timeouts::default(),
            relocations: 0,
        }
    }

    /// Makes a policy the current one, of the next generation or of the same.
    pub(crate) fn publish(&mut self, input: &PolicyInput) {
        let target = |of: &PolicyInput, place| {
            let mut mappings = of.mappings.iter();
            mappings
                .find(|known| (known.vnet, known.address) == place)
                .map(|known| known.target)
        };
        let places = self.input.mappings.iter().chain(&input.mappings);
        let mut changed: Vec<MappingSlot> = places
            .map(|known| (known.vnet, known.address))
            .filter(|&place| target(&self.input, place) != target(input, place))
            .map(|(vnet, address)| MappingSlot::of(vnet, address))
            .collect();
        changed.sort();
        changed.dedup();
        for slot in changed {
            *self.versions.entry(slot).or_default() += 1;
        }
        self.input = input.clone();
    }

    pub(crate) fn set_up(&mut self, port: PortId, up: bool) {
        self.ports.get_mut(&port).expect("a port of the world").up = up;
    }

    pub(crate) fn counters(&self, port: PortId) -> &PortCounters {
        &self.ports[&port].counters
    }

    pub(crate) fn process(
        &mut self,
        port: PortId,
        frame: &[u8],
        gso: Option<Gso>,
        now: Tick,
    ) -> Expected {
        let counters = &mut self
            .ports
            .get_mut(&port)
            .expect("a port of the world")
            .counters;
        counters.from_guest_packets += 1;
        counters.from_guest_bytes += frame.len() as u64;
        let mut replies = false;
        let mut sent = None;
        let outcome = match self.judge(port, frame, gso, now, &mut replies) {
            Ok(Handled::Answered) => {
                replies = true;
                Outcome::Answered
            }
            Ok(Handled::Sent(outcome, frame)) => {
                sent = Some(frame);
                outcome
            }
            Err(reason) => Outcome::Dropped(reason),
        };
        self.count_outcome(port, outcome, frame.len());
        Expected {
            outcome,
            frame: sent,
            replies,
        }
    }

    /// What was received, and what was dropped of what `port` is counted for.
    fn count_outcome(&mut self, port: PortId, outcome: Outcome, bytes: usize) {
        let (to, bytes) = match outcome {
            Outcome::Deliver(receiver) => (receiver, bytes as u64),
            Outcome::Uplink { encap, .. } => (PortId::UPLINK, bytes as u64 + outer_len(&encap)),
            Outcome::Answered => return,
            Outcome::Dropped(reason) => {
                let port = self.ports.get_mut(&port).expect("a port of the world");
                return port.counters.drops.add(reason, 1, bytes as u64);
            }
        };
        let counters = &mut self.ports.get_mut(&to).expect("it is up").counters;
        counters.to_guest_packets += 1;
        counters.to_guest_bytes += bytes;
    }

    /// Replies are the switch's to compose; here they are only counted.
    pub(crate) fn count_reply(&mut self, port: PortId, bytes: usize) {
        let counters = &mut self
            .ports
            .get_mut(&port)
            .expect("a port of the world")
            .counters;
        counters.answered += 1;
        counters.to_guest_packets += 1;
        counters.to_guest_bytes += bytes as u64;
    }

    fn judge(
        &mut self,
        port: PortId,
        frame: &[u8],
        gso: Option<Gso>,
        now: Tick,
        replies: &mut bool,
    ) -> Judged<Handled> {
        let nic = self.nic(port).cloned().ok_or(DropReason::PortDown)?;
        let dissection = dissect(frame).map_err(|_| DropReason::Malformed)?;
        if dissection.src != MacAddr(nic.mac) {
            return Err(DropReason::SpoofedMac);
        }
        let ip = match dissection.kind {
            Kind::Arp => return frames::judge_arp(&nic, frame).map(|()| Handled::Answered),
            Kind::Other { .. } if dissection.dst == MacAddr::BROADCAST => {
                return Err(DropReason::Broadcast);
            }
            Kind::Other { .. } => return Err(DropReason::UnsupportedEthertype),
            Kind::Ip(ip) => ip,
        };
        if let L4::NeighbourSolicit { target } = ip.l4 {
            return frames::judge_solicitation(&nic, &ip, target).map(|()| Handled::Answered);
        }
        if dissection.dst == MacAddr::BROADCAST {
            return Err(DropReason::Broadcast);
        }
        if dissection.dst.0[0] & 1 == 1 {
            return Err(DropReason::Multicast);
        }
        if dissection.dst != vswitch::router_mac() {
            return Err(DropReason::UnknownDestinationMac);
        }
        self.forward(&nic, nic.port, &ip, frame, gso, now, replies)
    }

    /// A unicast packet, from the NIC or off the uplink for it.
    fn forward(
        &mut self,
        nic: &NicInput,
        from: PortId,
        ip: &IpPacket,
        frame: &[u8],
        gso: Option<Gso>,
        now: Tick,
        replies: &mut bool,
    ) -> Judged<Handled> {
        let way = self.find_way(nic, from, ip, frame, now)?;
        let sent = self.send(nic, &way, ip, frame, gso, replies);
        if let (Ok(_), true) = (&sent, way.counted) {
            self.record(&way.parts, frame.len(), now);
        }
        sent
    }

    /// Where a unicast packet goes, if it may.
    fn find_way(
        &mut self,
        nic: &NicInput,
        from: PortId,
        ip: &IpPacket,
        frame: &[u8],
        now: Tick,
    ) -> Judged<Found> {
        let mut parts = Parts::read(from, ip, frame);
        if let L4::IcmpError { inner } = ip.l4 {
            frames::admit(nic, &parts.key)?;
            self.count_first(from);
            let inner = inner.ok_or(DropReason::IcmpErrorNoFlow)?;
            let key = frames::answer_key(from, ip, &inner).ok_or(DropReason::IcmpErrorNoFlow)?;
            let to = self.judge_error(nic, &key, now)?;
            return Ok(Found {
                to,
                parts,
                counted: false,
            });
        }
        let fragment = ip.fragment.map(|fragment| FragmentKey {
            port: from,
            src: ip.src,
            dst: ip.dst,
            protocol: ip.proto,
            id: fragment.id,
        });
        if let (Some(key), L4::NonFirstFragment) = (fragment, ip.l4) {
            let known = self.fragments.get(&key).filter(|(_, until)| now < *until);
            let (ports, _) = known.ok_or(DropReason::FragmentWithoutFirst)?;
            parts = parts.with_ports(*ports);
        }
        let judged = self.judge_flow(nic, &parts, now)?;
        if let Some(key) = fragment
            && !matches!(ip.l4, L4::NonFirstFragment)
        {
            let ports = (parts.key.source_port(), parts.key.destination_port());
            self.fragments
                .insert(key, (ports, now + self.timeouts.fragment));
        }
        match judged {
            Ok(to) => Ok(Found {
                to,
                parts,
                counted: true,
            }),
            Err(reason) => {
                self.record(&parts, frame.len(), now);
                Err(reason)
            }
        }
    }

    fn record(&mut self, parts: &Parts, bytes: usize, now: Tick) {
        if let Some(entry) = self.entries.get_mut(&parts.key) {
            entry.packets += 1;
            entry.bytes += bytes as u64;
            entry.flags = entry.flags | parts.flags;
            entry.last_seen = entry.last_seen.max(now);
        }
    }

    fn count_first(&mut self, from: PortId) {
        self.charged(from).first_packets += 1;
    }

    /// The counters of who pays for what is not a hit: the sender or, for what came off it, the
    /// uplink.
    fn charged(&mut self, from: PortId) -> &mut PortCounters {
        let payer = if from.0 >= 0x8000 {
            PortId::UPLINK
        } else {
            from
        };
        let port = self.ports.get_mut(&payer).expect("a port of the world");
        &mut port.counters
    }

    /// The NIC behind a port, or that a marked port is about.
    fn nic(&self, port: PortId) -> Option<&NicInput> {
        let number = port.0 & 0x7fff;
        self.input.nics.iter().find(|nic| nic.port.0 == number)
    }

    /// Follows what the table let go of by age, if it might.
    pub(crate) fn forget_what_expired(&mut self, flows: &FlowTable, now: Tick) {
        let gone: Vec<FlowKey> = self
            .entries
            .keys()
            .filter(|key| flows.lookup(key).is_none())
            .copied()
            .collect();
        for key in &gone {
            let idle = now.since(self.last_seen(key));
            assert!(idle >= self.timeout(key), "{key:?} gone after {idle:?}");
        }
        self.entries.retain(|key, _| !gone.contains(key));
        self.fragments.retain(|_, (_, until)| now < *until);
    }

    pub(crate) fn fragments_len(&self) -> usize {
        self.fragments.len()
    }

    fn last_seen(&self, key: &FlowKey) -> Tick {
        let entry = &self.entries[key];
        let peer = entry.peer.map(|peer| self.entries[&peer].last_seen);
        peer.map_or(entry.last_seen, |peer| peer.max(entry.last_seen))
    }

    fn timeout(&self, key: &FlowKey) -> std::time::Duration {
        if self.entries[key].refused.is_some() {
            return self.timeouts.drop;
        }
        self.timeouts.of(key, self.tcp_state(key))
    }

    fn tcp_state(&self, key: &FlowKey) -> Option<TcpState> {
        let entry = &self.entries[key];
        let peer = entry
            .peer
            .map(|peer| self.entries[&peer].flags)
            .unwrap_or_default();
        let (forward, reverse) = if entry.forward {
            (entry.flags, peer)
        } else {
            (peer, entry.flags)
        };
        (key.protocol() == 6).then(|| TcpState::of(forward, reverse))
    }

    /// Both switches know the same flows, and the same of them.
    pub(crate) fn compare_flows(&self, flows: &FlowTable) {
        for found in flows.iter() {
            let entry = self.entries.get(found.key());
            let entry = entry.unwrap_or_else(|| panic!("the switch alone knows {found:?}"));
            assert_eq!(found.forward(), entry.forward, "{found:?}");
            assert_eq!(found.peer_key(), entry.peer, "{found:?}");
            if entry.refused.is_some() {
                assert_eq!(found.transposition().drop_reason(), entry.refused);
            }
            let counters = found.counters();
            assert_eq!(
                (counters.packets, counters.bytes),
                (entry.packets, entry.bytes),
                "{found:?}"
            );
            assert_eq!(counters.tcp_flags, entry.flags, "{found:?}");
            assert_eq!(counters.last_seen, entry.last_seen, "{found:?}");
        }
        assert_eq!(
            flows.len() as usize,
            self.entries.len(),
            "the naive switch knows more flows"
        );
    }
}

/// What is done with a frame that is not dropped.
enum Handled {
    Answered,
    Sent(Outcome, Vec<u8>),
}

struct Found {
    to: ways::Way,
    parts: Parts,
    /// Whether a flow counts the packet; none does an ICMP error.
    counted: bool,
}

/// The outer headers: Ethernet, IP, UDP, VXLAN.
fn outer_len(encap: &flow::Encap) -> u64 {
    14 + if encap.outer_dst.is_ipv4() { 20 } else { 40 } + 8 + 8
}
