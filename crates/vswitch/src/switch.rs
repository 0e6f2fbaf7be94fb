use std::num::NonZeroU32;
use std::sync::Arc;

use flow::{
    DropReason, Encap, FlowEntry, FlowId, FlowKey, FlowPair, FlowTable, Half, Offload, PortId,
    Removed, TcpFlags, Tick, Timeouts, Transposition, Verdict, apply, outer_source_port,
    telling_flags,
};
use policy::{NicPolicy, Snapshot};
use wire::icmp_reply::IcmpError;
use wire::{Dissection, IpPacket, Kind, L4, MacAddr, dissect};

use crate::admission::admit;
use crate::batch::Ahead;
use crate::configuration::{Adverts, Question};
use crate::follow::pair_of;
use crate::fragments::FragmentTable;
use crate::icmp_error;
use crate::judge::{Decision, Judge, Rules};
use crate::neighbour;
use crate::packet::Packet;
use crate::port::{Port, payer};
use crate::tier_one::is_stale;
use crate::tunnelled::Admitted;

/// Room for the largest answer the switch makes: an ICMPv6 error of 1,280 bytes (RFC 4443, 2.4).
const REPLY_MAX: usize = 14 + 1_280;

/// What the switch may hold and do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Flow directions in all.
    pub flows_max: NonZeroU32,
    /// Flow directions keyed at one port.
    pub flows_per_port_max: NonZeroU32,
    /// Remembered fragmented packets in all.
    pub fragments_max: NonZeroU32,
    /// Remembered fragmented packets of one port.
    pub fragments_per_port_max: NonZeroU32,
    /// First packets a second, per port.
    pub first_packets_per_second: u32,
    /// Re-simulated flows a second, per port.
    pub resimulations_per_second: u32,
}

/// A super-segment: the frame stands for several packets, which the receiver's side will cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gso {
    /// The payload bytes of each packet.
    pub size: u16,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Rewritten in place; it is to be sent to this port's guest.
    Deliver(PortId),
    /// Rewritten in place; it is to be encapsulated and sent off the host.
    Uplink {
        /// The outer headers ([`flow::encapsulate`], [`flow::encapsulate_ip`]).
        encap: Encap,
        /// The outer UDP source port, the same for all packets of a flow.
        source_port: u16,
    },
    /// It was for the switch itself, which has an answer ([`Switch::reply`]) for its sender.
    Answered,
    /// It ended here. An ICMP error for the sender may be in [`Switch::reply`].
    Dropped(DropReason),
}

/// What flow engines have to be told, in this order: take out, put in. The same key may be in both.
#[derive(Debug, Default)]
pub struct EngineWork {
    /// Entries that are no more, or are about to be put in anew. What an engine counted for those
    /// that dropped is the drops' ([`Switch::count_engine_drops`]).
    pub remove: Vec<FlowKey>,
    /// Those of them whose connection goes on with another key, and that key: the flags an engine
    /// saw are the new entry's to know ([`Switch::observe`]), its counts are not.
    pub moved: Vec<(FlowKey, FlowKey)>,
    /// Pairs to put in.
    pub install: Vec<FlowPair>,
    /// Flags of segments that went through the switch, for entries that are in
    /// ([`flow::FlowEngine::note_flags`]).
    pub seen: Vec<(FlowKey, TcpFlags)>,
}

/// The switch of one host.
pub struct Switch {
    pub(crate) policy: Arc<Snapshot>,
    pub(crate) ports: Vec<Option<Port>>,
    pub(crate) flows: FlowTable,
    pub(crate) fragments: FragmentTable,
    pub(crate) timeouts: Timeouts,
    pub(crate) work: EngineWork,
    pub(crate) removed: Vec<Removed>,
    /// Keys in the work to be taken out that are still in the table: what an engine has of them is
    /// older than what the table says.
    pub(crate) renewed: Vec<FlowKey>,
    pub(crate) limits: Limits,
    pub(crate) adverts: Adverts,
    pub(crate) reply: [u8; REPLY_MAX],
    pub(crate) reply_len: usize,
    /// The tunnel that the reply is to take, if its receiver is on another host.
    pub(crate) reply_tunnel: Option<(Encap, u16)>,
    pub(crate) ahead: Ahead,
    pub(crate) admitted: Admitted,
}

impl Switch {
    /// A switch without ports. `seed` makes its tables unpredictable to guests; tests fix it.
    pub fn new(limits: Limits, timeouts: Timeouts, policy: Arc<Snapshot>, seed: u64) -> Switch {
        let flow_limits = flow::Limits {
            flows_max: limits.flows_max,
            flows_per_port_max: limits.flows_per_port_max,
            ports_max: PortId::MAX.0,
        };
        let fragments =
            FragmentTable::with_limits(limits.fragments_max, limits.fragments_per_port_max, seed);
        Switch {
            policy,
            ports: Vec::new(),
            flows: FlowTable::with_limits(flow_limits, seed),
            fragments,
            timeouts,
            work: EngineWork::default(),
            removed: Vec::new(),
            renewed: Vec::new(),
            limits,
            adverts: Adverts::default(),
            reply: [0; REPLY_MAX],
            reply_len: 0,
            reply_tunnel: None,
            ahead: Ahead::nothing(),
            admitted: Admitted::nothing(),
        }
    }

    /// Makes a policy the current one. Established flows follow it on their next packet.
    pub fn publish(&mut self, policy: Arc<Snapshot>) {
        self.policy = policy;
        self.admitted.forget();
    }

    /// Changes how long idle flows are kept; those that are there follow at once.
    pub fn set_timeouts(&mut self, timeouts: Timeouts) {
        self.timeouts = timeouts;
    }

    /// The current policy.
    pub fn policy(&self) -> &Arc<Snapshot> {
        &self.policy
    }

    /// The flow table, to be looked at.
    pub fn flows(&self) -> &FlowTable {
        &self.flows
    }

    /// The flow table, for what engines report of it.
    pub fn flows_mut(&mut self) -> &mut FlowTable {
        &mut self.flows
    }

    /// What engines have to be told since the last call.
    pub fn take_work(&mut self, into: &mut EngineWork) {
        into.remove.clear();
        into.moved.clear();
        into.install.clear();
        into.seen.clear();
        self.renewed.clear();
        // Some may have gone, or have been decided anew, before any engine was told of them.
        let flows = &self.flows;
        self.work.install.retain(|pair| is_current(flows, pair));
        std::mem::swap(into, &mut self.work);
    }

    /// The frame that answers the last one of [`Switch::process`], to be sent back to its sender.
    pub fn reply(&self) -> Option<&[u8]> {
        let local = self.reply_len > 0 && self.reply_tunnel.is_none();
        local.then(|| &self.reply[..self.reply_len])
    }

    /// What happens to a frame that the guest behind `port` sent. It is rewritten in place.
    ///
    /// Three tiers, as fast as they are rare:
    /// 1. hit, stamp current: the transposition is applied. One lookup, one store of counters.
    /// 2. hit, stale: the flow is looked at anew along its path; rules keep out of it unless
    ///    re-evaluation was asked for. At a bounded rate; beyond it the old path serves on.
    /// 3. miss, or a segment that opens a connection: the policy is walked, and both directions
    ///    are remembered.
    ///
    /// ARP, neighbour discovery, configuration, fragments and ICMP errors have their own ways, all here.
    /// Tier 1 allocates nothing; the others append to the engine's work. No tier locks or logs.
    pub fn process(
        &mut self,
        port: PortId,
        frame: &mut [u8],
        gso: Option<Gso>,
        now: Tick,
    ) -> Outcome {
        match self.process_head(port, frame, frame.len(), gso, now) {
            Some(outcome) => outcome,
            None => self.process_whole(port, frame, gso, now),
        }
    }

    /// As [`Switch::process`], of a frame of `len` bytes of which the first are at hand: for paths
    /// that leave payloads where they are. None means that nothing has happened, and that the frame
    /// is to be put together for [`Switch::process_whole`].
    #[inline]
    pub fn process_head(
        &mut self,
        port: PortId,
        head: &mut [u8],
        len: usize,
        gso: Option<Gso>,
        now: Tick,
    ) -> Option<Outcome> {
        self.reply_len = 0;
        self.reply_tunnel = None;
        let hint = self.ahead.take();
        self.pass(port, head, len, gso, hint, now)
    }

    /// What is not as simple as most.
    #[inline(never)]
    pub fn process_whole(
        &mut self,
        port: PortId,
        frame: &mut [u8],
        gso: Option<Gso>,
        now: Tick,
    ) -> Outcome {
        let policy = Arc::clone(&self.policy);
        let Some(entry) = self.port_mut(port) else {
            return Outcome::Dropped(DropReason::PortDown);
        };
        entry.counters.from_guest_packets += 1;
        entry.counters.from_guest_bytes += frame.len() as u64;
        let outcome = match (policy.nic(port), dissect(frame)) {
            (None, _) => Err(DropReason::PortDown),
            (Some(_), Err(_)) => Err(DropReason::Malformed),
            (Some(nic), Ok(dissection)) => {
                self.dispatch(&policy, nic, &dissection, frame, gso, now)
            }
        };
        self.account(port, frame.len(), outcome)
    }

    /// By what the frame is.
    fn dispatch(
        &mut self,
        policy: &Snapshot,
        nic: &NicPolicy,
        dissection: &Dissection,
        frame: &mut [u8],
        gso: Option<Gso>,
        now: Tick,
    ) -> Result<Outcome, DropReason> {
        if dissection.src != MacAddr(nic.mac) {
            return Err(DropReason::SpoofedMac);
        }
        match dissection.kind {
            Kind::Arp => {
                self.reply_len = neighbour::answer_arp(nic, frame, &mut self.reply)?;
                Ok(Outcome::Answered)
            }
            Kind::Other { .. } if dissection.dst.is_broadcast() => Err(DropReason::Broadcast),
            Kind::Other { .. } => Err(DropReason::UnsupportedEthertype),
            Kind::Ip(ip) => {
                if let L4::NeighbourSolicit { target } = ip.l4 {
                    self.reply_len =
                        neighbour::answer_solicitation(nic, &ip, target, frame, &mut self.reply)?;
                    return Ok(Outcome::Answered);
                }
                if dissection.dst.is_multicast()
                    && let Some(question) = Question::of(nic, &ip)
                {
                    return self.configure(nic, question, &ip, frame, now);
                }
                if dissection.dst.is_broadcast() {
                    return Err(DropReason::Broadcast);
                }
                if dissection.dst.is_multicast() {
                    return Err(DropReason::Multicast);
                }
                if dissection.dst != neighbour::ROUTER_MAC {
                    return Err(DropReason::UnknownDestinationMac);
                }
                self.forward(policy, nic, nic.port, &ip, frame, gso, now)
            }
        }
    }

    /// A unicast IP packet that the NIC sent or, where `from` is marked, that came off the uplink
    /// for it.
    pub(crate) fn forward(
        &mut self,
        policy: &Snapshot,
        nic: &NicPolicy,
        from: PortId,
        ip: &IpPacket,
        frame: &mut [u8],
        gso: Option<Gso>,
        now: Tick,
    ) -> Result<Outcome, DropReason> {
        let packet = Packet::new(from, ip, frame, gso);
        if let L4::IcmpError { .. } = ip.l4 {
            admit(nic, from, ip.src, ip.dst)?;
            self.admit_first_packet(payer(from), now)?;
            let id = icmp_error::flow_of(&self.flows, from, ip)?;
            let id = self
                .hit(policy, nic, id, &packet, now)?
                .ok_or(DropReason::IcmpErrorNoFlow)?;
            let entry = self.flows.get(id).ok_or(DropReason::IcmpErrorNoFlow)?;
            let transposition = entry.transposition();
            return self.send(&transposition, &packet, frame, now);
        }
        let packet = if packet.later_fragment {
            self.reassociate(packet, ip, now)?
        } else {
            packet
        };
        let id = match self.flows.lookup(&packet.key) {
            Some(id) => self.hit(policy, nic, id, &packet, now)?,
            None => None,
        };
        let id = match id {
            Some(id) => id,
            None => match Question::of(nic, ip) {
                // Only its own guest may ask.
                Some(question) if from == nic.port => {
                    return self.configure(nic, question, ip, frame, now);
                }
                _ => self.miss(policy, nic, &packet, now)?,
            },
        };
        self.remember_fragment(&packet, ip, now)?;
        let entry = self.flows.get(id).ok_or(DropReason::FlowTableFull)?;
        let transposition = entry.transposition();
        if let Verdict::Drop(reason) = transposition.verdict {
            self.note_progress(id, TcpFlags::default());
            self.flows
                .record(id, frame.len() as u64, packet.tcp_flags, now);
            return Err(reason);
        }
        let bytes = frame.len() as u64;
        self.note_progress(id, packet.tcp_flags);
        let outcome = self.send(&transposition, &packet, frame, now)?;
        self.flows.record(id, bytes, packet.tcp_flags, now);
        Ok(outcome)
    }

    /// What tells how far a connection has come is the engine's to know too: its entries are what
    /// remains of the connection when the agent dies. An engine that is yet to be told of the entry
    /// is told of its flags then.
    fn note_progress(&mut self, id: FlowId, seen: TcpFlags) {
        let Some(entry) = self.flows.get(id) else {
            return;
        };
        if entry.offload() == Offload::Deferred {
            return self.offer(id);
        }
        let telling = telling_flags(seen, entry.forward());
        if !entry.counters().tcp_flags.contains(telling) && entry.offload().in_engine() {
            self.work.seen.push((*entry.key(), telling));
        }
    }

    /// Hands a pair to engines that was kept from them until it had another packet.
    fn offer(&mut self, id: FlowId) {
        if let Some(pair) = pair_of(&self.flows, id) {
            self.flows.set_offload(id, Offload::NotOffloaded(None));
            self.work.install.push(pair);
        }
    }

    /// Tiers 1 and 2. None means that the packet is to be judged as a first one.
    fn hit(
        &mut self,
        policy: &Snapshot,
        nic: &NicPolicy,
        id: FlowId,
        packet: &Packet,
        now: Tick,
    ) -> Result<Option<FlowId>, DropReason> {
        let Some(entry) = self.flows.get(id) else {
            return Ok(None);
        };
        let drops = entry.transposition().drop_reason().is_some();
        let remembered_drop = is_remembered_drop(&entry);
        let stale = is_stale(policy, nic, &entry.stamp(), drops);
        if !stale && (remembered_drop || !packet.opens()) {
            return Ok(Some(id));
        }
        if remembered_drop || packet.opens() {
            return Ok(None);
        }
        let Some(port) = self.port_mut(payer(packet.key.port())) else {
            return Err(DropReason::PortDown);
        };
        if !port.resimulations.admit(now) {
            port.counters.stale_forwarded += 1;
            return Ok(Some(id));
        }
        port.counters.resimulations += 1;
        self.resimulate(policy, id, now)
    }

    /// Tier 3.
    fn miss(
        &mut self,
        policy: &Snapshot,
        nic: &NicPolicy,
        packet: &Packet,
        now: Tick,
    ) -> Result<FlowId, DropReason> {
        let key = &packet.key;
        admit(nic, key.port(), key.src(), key.dst())?;
        self.admit_first_packet(payer(key.port()), now)?;
        if let Some(id) = self.take_along(policy, nic, packet, now)? {
            return Ok(id);
        }
        let opens = packet.opens() || !packet.is_tcp();
        let judge = Judge {
            policy,
            flows: &self.flows,
        };
        let decision = judge.decide(nic, key, opens, Rules::Apply, &mut ());
        if let Some(reason) = decision.forward.transposition.drop_reason() {
            let known = self.flows.lookup(key).and_then(|id| self.flows.get(id));
            // The tuple's connection must not suffer.
            if known.is_some_and(|entry| !is_remembered_drop(&entry)) || !decision.memorable {
                return Err(reason);
            }
        }
        self.remember(key, &decision, now)
    }

    /// Puts a decision into the table, and hands it to engines.
    pub(crate) fn remember(
        &mut self,
        key: &FlowKey,
        decision: &Decision,
        now: Tick,
    ) -> Result<FlowId, DropReason> {
        let pair = pair(key, decision);
        let inserted = self.flows.insert(&pair, now, &mut self.removed);
        self.collect_removed();
        match inserted {
            Ok(id) => {
                self.forget_refused_answers(&pair);
                self.work.install.push(pair);
                Ok(id)
            }
            // A drop that cannot be remembered is a drop all the same.
            Err(error) => Err(decision
                .forward
                .transposition
                .drop_reason()
                .unwrap_or(error.into())),
        }
    }

    fn admit_first_packet(&mut self, port: PortId, now: Tick) -> Result<(), DropReason> {
        let port = self.port_mut(port).ok_or(DropReason::PortDown)?;
        if !port.first_packets.admit(now) {
            return Err(DropReason::ExceptionRateLimited);
        }
        port.counters.first_packets += 1;
        Ok(())
    }

    /// Applies a transposition, or finds out that the packet cannot take that way.
    fn send(
        &mut self,
        transposition: &Transposition,
        packet: &Packet,
        frame: &mut [u8],
        now: Tick,
    ) -> Result<Outcome, DropReason> {
        let outcome = match transposition.verdict {
            Verdict::Drop(reason) => return Err(reason),
            Verdict::Deliver(port) if !self.is_up(port) => return Err(DropReason::PortDown),
            Verdict::Deliver(port) => Outcome::Deliver(port),
            Verdict::Uplink if !self.is_up(PortId::UPLINK) => {
                return Err(DropReason::UplinkUnavailable);
            }
            Verdict::Uplink => Outcome::Uplink {
                encap: transposition.encap.ok_or(DropReason::UplinkUnavailable)?,
                source_port: outer_source_port(&packet.key),
            },
        };
        if packet.largest_packet > usize::from(transposition.mtu) {
            let mtu = u32::from(transposition.mtu);
            self.complain(frame, packet, IcmpError::PacketTooBig { mtu }, now);
            return Err(DropReason::TooBig);
        }
        if transposition.decrement_ttl && packet.ttl <= 1 {
            self.complain(frame, packet, IcmpError::HopLimitExceeded, now);
            return Err(DropReason::TtlExpired);
        }
        apply(transposition, frame, packet.l3_offset, packet.key.family())?;
        Ok(outcome)
    }

    /// Counts an outcome where it belongs.
    fn account(
        &mut self,
        port: PortId,
        bytes: usize,
        outcome: Result<Outcome, DropReason>,
    ) -> Outcome {
        let bytes = bytes as u64;
        let reply_bytes = self.reply_len as u64;
        let outcome = outcome.unwrap_or_else(Outcome::Dropped);
        self.count_sent(&outcome, bytes);
        if let Some(sender) = self.port_mut(port) {
            if let Outcome::Dropped(reason) = outcome {
                sender.counters.drops.add(reason, 1, bytes);
            }
            if reply_bytes > 0 {
                sender.counters.answered += 1;
                sender.counters.to_guest_packets += 1;
                sender.counters.to_guest_bytes += reply_bytes;
            }
        }
        outcome
    }

    /// Entries the table let go of are no longer the engines' either.
    pub(crate) fn collect_removed(&mut self) {
        for removed in self.removed.drain(..) {
            if !removed.offload.in_engine() {
                continue;
            }
            let key = removed.half.key;
            if self.renewed.contains(&key) {
                continue;
            }
            self.work.remove.push(key);
        }
    }
}

/// Whether an entry is a refusal, and not a connection that has no way at present.
pub(crate) fn is_remembered_drop(entry: &FlowEntry<'_>) -> bool {
    entry.peer().is_none() && entry.transposition().drop_reason().is_some()
}

fn is_current(flows: &FlowTable, pair: &FlowPair) -> bool {
    let is = |half: &Half| {
        let entry = flows.lookup(&half.key).and_then(|id| flows.get(id));
        entry.is_some_and(|entry| entry.half() == *half)
    };
    is(&pair.forward) && pair.reverse.as_ref().is_none_or(is)
}

pub(crate) fn pair(key: &FlowKey, decision: &Decision) -> FlowPair {
    let forward = Half {
        key: *key,
        transposition: decision.forward.transposition,
        stamp: decision.forward.stamp,
        peer: decision.reverse.map(|reverse| reverse.key),
        forward: true,
    };
    let reverse = decision.reverse.map(|reverse| Half {
        key: reverse.key,
        transposition: reverse.hop.transposition,
        stamp: reverse.hop.stamp,
        peer: Some(*key),
        forward: false,
    });
    FlowPair { forward, reverse }
}
