//! Who may talk to whom: opened connections, their answers, refusals.

use flow::{DropReason, FlowKey, PortId, TcpFlags, Tick};
use policy::input::{MappingTarget, NicInput};
use policy::{Judgement, MappingSlot, Tuple, naive};

use super::frames::{Parts, admit};
use super::ways::{Way, denied};
use super::{Judged, NaiveSwitch};

/// One direction of a connection, or a refusal.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) peer: Option<FlowKey>,
    pub(super) forward: bool,
    /// Why packets with this key are refused, if it is no connection.
    pub(super) refused: Option<DropReason>,
    /// Of an answer: the port that it was found to be let through to.
    through: Option<PortId>,
    /// Whether there was no way when last looked.
    blocked: bool,
    seen: Seen,
    pub(super) flags: TcpFlags,
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) last_seen: Tick,
}

/// Of which policy an entry was last looked at.
#[derive(Clone, Copy, Debug)]
struct Seen {
    policy: u32,
    path: u32,
    slot: MappingSlot,
    version: u32,
}

/// What a packet is let through by.
pub(super) struct Allowed {
    pub(super) slot: MappingSlot,
    /// The answer's direction; none where the packet is itself an answer.
    pub(super) answer: Option<Answer>,
}

/// An answer's key and where it goes.
pub(super) struct Answer {
    key: FlowKey,
    way: Judged<Way>,
    slot: MappingSlot,
}

pub(super) struct Refused {
    pub(super) reason: DropReason,
    pub(super) slot: MappingSlot,
    pub(super) memorable: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    Ask { opens: bool },
    AskAgain,
    Spare,
}

impl NaiveSwitch {
    /// What becomes of a packet by its connection: the way it goes, or the reason that its flow
    /// counts; the outer error is that of a packet which no flow counts.
    pub(super) fn judge_flow(
        &mut self,
        nic: &NicInput,
        parts: &Parts,
        now: Tick,
    ) -> Judged<Judged<Way>> {
        let key = parts.key;
        let opens = parts.is_tcp() && parts.flags.opens();
        if let Some(entry) = self.entries.get(&key)
            && let (refused, stale) = (entry.refused, self.is_stale(nic, entry))
            && (refused.is_some() || !opens)
        {
            match (refused, stale) {
                (Some(reason), false) => return Ok(Err(reason)),
                (Some(_), true) => {}
                (None, false) => return Ok(self.verdict(&key)),
                (None, true) => {
                    self.charged(key.port()).resimulations += 1;
                    self.look_again(&key, now)?;
                    if self.entries.contains_key(&key) {
                        return Ok(self.verdict(&key));
                    }
                }
            }
        }
        admit(nic, &key)?;
        self.count_first(key.port());
        if parts.is_tcp() && !opens && self.take_along(nic, &key, now)? {
            return Ok(self.verdict(&key));
        }
        match self.decide(
            nic,
            &key,
            Rules::Ask {
                opens: opens || !parts.is_tcp(),
            },
            None,
        ) {
            Ok(allowed) => {
                self.open(nic, &key, allowed, now);
                Ok(self.verdict(&key))
            }
            Err(refused) => {
                let connected = self
                    .entries
                    .get(&key)
                    .is_some_and(|entry| entry.refused.is_none());
                if connected || !refused.memorable {
                    return Err(refused.reason);
                }
                self.refuse(nic, &key, &refused, now);
                Ok(Err(refused.reason))
            }
        }
    }

    /// The way an ICMP error takes that belongs to the flow with this key. A refusal is no flow.
    pub(super) fn judge_error(&mut self, nic: &NicInput, key: &FlowKey, now: Tick) -> Judged<Way> {
        let entry = self
            .entries
            .get(key)
            .filter(|entry| entry.refused.is_none());
        let entry = entry.ok_or(DropReason::IcmpErrorNoFlow)?;
        if self.is_stale(nic, entry) {
            self.charged(key.port()).resimulations += 1;
            self.look_again(key, now)?;
        }
        if !self.entries.contains_key(key) {
            return Err(DropReason::IcmpErrorNoFlow);
        }
        self.verdict(key)
    }

    fn is_stale(&self, nic: &NicInput, entry: &Entry) -> bool {
        let Seen {
            policy,
            path,
            slot,
            version,
        } = entry.seen;
        if version != self.version(slot) {
            return true;
        }
        match entry.blocked || entry.refused.is_some() {
            true => policy != self.input.generation,
            false => path != nic.path_generation,
        }
    }

    fn version(&self, slot: MappingSlot) -> u32 {
        self.versions.get(&slot).copied().unwrap_or(0)
    }

    fn seen(&self, nic: &NicInput, slot: MappingSlot) -> Seen {
        let (policy, path) = (self.input.generation, nic.path_generation);
        Seen {
            policy,
            path,
            slot,
            version: self.version(slot),
        }
    }

    /// What becomes of a direction by the policy of now.
    fn verdict(&self, key: &FlowKey) -> Judged<Way> {
        let entry = &self.entries[key];
        if let Some(reason) = entry.refused {
            return Err(reason);
        }
        let nic = self.nic(key.port()).expect("a NIC of the world");
        match (entry.forward, entry.peer) {
            (false, Some(opener)) => self.answer_way(nic, key, &opener, entry.through).0,
            _ => self.way(nic, key).0,
        }
    }

    /// `through` is the port that the answers have been let through to.
    fn decide(
        &self,
        nic: &NicInput,
        key: &FlowKey,
        rules: Rules,
        through: Option<PortId>,
    ) -> Result<Allowed, Refused> {
        if key.port().is_from_uplink() {
            return self.decide_arrival(nic, key, rules, through);
        }
        let tuple = Tuple::from(key);
        let own = MappingSlot::of(nic.vnet, key.dst());
        if rules == (Rules::Ask { opens: false })
            && let (
                Ok(Way {
                    target: MappingTarget::Port(port),
                    ..
                }),
                slot,
            ) = self.way(nic, key)
            && self.carries(port, &key.at(port).reversed_at(port))
        {
            return Ok(Allowed { slot, answer: None });
        }
        if rules != Rules::Spare
            && let Judgement::Deny(layer) = naive::outbound(nic, &tuple).judgement
        {
            return Err(refuse(denied(layer, DropReason::NsgDenyOutbound), own));
        }
        let (way, slot) = self.way(nic, key);
        let target = way.map_err(|reason| refuse(reason, slot))?.target;
        let syn = rules == Rules::Ask { opens: true } && key.protocol() == 6;
        let MappingTarget::Port(receiver) = target else {
            let answers = !syn && self.answers_for_other(nic, key);
            let known = answers || self.carries(nic.port, key);
            return match (rules, known) {
                (Rules::Ask { opens: false }, false) => {
                    Err(refuse(DropReason::TcpNoConnection, own))
                }
                _ if answers => Ok(Allowed { slot, answer: None }),
                _ => {
                    let marked = PortId(nic.port.0 | 0x8000);
                    let answer = Some(self.answer(key, marked, through));
                    Ok(Allowed { slot, answer })
                }
            };
        };
        let peer = self.nic(receiver).expect("the way leads to it");
        let called = self.was_opened_by(&key.reversed_at(receiver));
        if called && !syn {
            return Ok(Allowed { slot, answer: None });
        }
        if rules != Rules::Spare
            && let Judgement::Deny(layer) = naive::inbound(peer, &tuple).judgement
        {
            let refused = refuse(denied(layer, DropReason::NsgDenyInbound), slot);
            return Err(Refused {
                memorable: !called,
                ..refused
            });
        }
        if rules == (Rules::Ask { opens: false }) && !self.carries(nic.port, key) {
            return Err(refuse(DropReason::TcpNoConnection, own));
        }
        Ok(Allowed {
            slot,
            answer: Some(self.answer(key, receiver, through)),
        })
    }

    /// Whether the connection's packets come in at an appliance, which may then send them on.
    fn carries(&self, port: PortId, key: &FlowKey) -> bool {
        let forwards = self.nic(port).is_some_and(|nic| nic.ip_forwarding);
        let answer = self.entries.get(&key.reversed_at(port));
        forwards && answer.is_some_and(|entry| !entry.forward && entry.peer.is_some())
    }

    pub(super) fn answer(
        &self,
        key: &FlowKey,
        answerer: PortId,
        through: Option<PortId>,
    ) -> Answer {
        let answer = key.reversed_at(answerer);
        let peer = self.nic(answerer).expect("a NIC of the world");
        let (way, slot) = self.answer_way(peer, &answer, key, through);
        Answer {
            key: answer,
            way,
            slot,
        }
    }

    fn open(&mut self, nic: &NicInput, key: &FlowKey, allowed: Allowed, now: Tick) {
        let answer = allowed.answer.as_ref().map(|answer| answer.key);
        self.remove(key);
        answer.iter().for_each(|answer| self.remove(answer));
        let seen = self.seen(nic, allowed.slot);
        let entry = |peer, forward| Entry {
            peer,
            forward,
            refused: None,
            through: None,
            blocked: false,
            seen,
            flags: TcpFlags::default(),
            packets: 0,
            bytes: 0,
            last_seen: now,
        };
        self.entries.insert(*key, entry(answer, true));
        if let Some(answer) = allowed.answer {
            self.entries.insert(answer.key, entry(Some(*key), false));
            self.settle(&answer);
        }
    }

    fn refuse(&mut self, nic: &NicInput, key: &FlowKey, refused: &Refused, now: Tick) {
        self.remove(key);
        let entry = Entry {
            peer: None,
            forward: true,
            refused: Some(refused.reason),
            through: None,
            blocked: true,
            seen: self.seen(nic, refused.slot),
            flags: TcpFlags::default(),
            packets: 0,
            bytes: 0,
            last_seen: now,
        };
        self.entries.insert(*key, entry);
    }

    /// Notes where an answer goes. What refused it at a NIC that it now comes through is forgotten:
    /// it was nobody's answer then.
    fn settle(&mut self, answer: &Answer) {
        let nic = self.nic(answer.key.port()).expect("a NIC of the world");
        let seen = self.seen(nic, answer.slot);
        let entry = self
            .entries
            .get_mut(&answer.key)
            .expect("an answer's entry");
        entry.seen = seen;
        entry.blocked = answer.way.is_err();
        entry.through = match answer.way {
            Ok(Way {
                target: MappingTarget::Port(port),
                ..
            }) => Some(port),
            _ => None,
        };
        let entry_peer = entry.peer;
        let opener = entry.peer.map(|key| key.port());
        if let Some(port) = entry.through.filter(|port| Some(*port) != opener)
            && self
                .entries
                .get(&answer.key.at(port))
                .is_some_and(|entry| entry.refused.is_some())
        {
            self.remove(&answer.key.at(port));
        }
        self.forget_refused_off_uplink(&answer.key, &entry_peer);
    }

    /// A connection meets a policy that may send it elsewhere.
    pub(super) fn look_again(&mut self, hit: &FlowKey, now: Tick) -> Judged<()> {
        let entry = &self.entries[hit];
        let (forward, answer) = match (entry.forward, entry.peer) {
            (false, Some(forward)) => (forward, Some(*hit)),
            (_, peer) => (*hit, peer),
        };
        let owed = |key: &FlowKey| {
            let nic = self.nic(key.port()).expect("a NIC of the world");
            self.entries[key].seen.path < nic.reevaluate_generation
        };
        let again = owed(&forward) || answer.as_ref().is_some_and(owed);
        let rules = if again { Rules::AskAgain } else { Rules::Spare };
        let through = answer
            .and_then(|answer| self.entries[&answer].through)
            .filter(|_| !again);
        let moved = answer.and_then(|answer| self.relocated(&forward, &answer));
        let forward = match (moved, answer) {
            (Some(moved), Some(answer)) => {
                self.rekey(&forward, &answer, &moved, now);
                moved
            }
            _ => forward,
        };
        let nic = self.nic(forward.port()).expect("a NIC of the world");
        let nic = nic.clone();
        match (self.decide(&nic, &forward, rules, through), answer) {
            (Err(refused), _) if again && is_by_rule(refused.reason) => {
                self.refuse(&nic, &forward, &refused, now);
                if *hit == forward {
                    Ok(())
                } else {
                    Err(refused.reason)
                }
            }
            (Err(refused), None) => {
                // Without an answer's direction, what is blocked is a refusal.
                let flags = self.entries[&forward].flags;
                self.refuse(&nic, &forward, &refused, now);
                self.entries.get_mut(&forward).expect("just put in").flags = flags;
                Ok(())
            }
            (Err(refused), Some(answer)) => {
                let answer = self.answer(&forward, answer.port(), through);
                self.block(&nic, &forward, &refused, &answer, again);
                Ok(())
            }
            (Ok(allowed), answer) => {
                self.go_on(&nic, &forward, answer, allowed, now);
                Ok(())
            }
        }
    }

    /// There is no way at present. What has to be asked of the rules beyond it still has to be.
    fn block(
        &mut self,
        nic: &NicInput,
        forward: &FlowKey,
        refused: &Refused,
        answer: &Answer,
        again: bool,
    ) {
        let owed = [forward, &answer.key].map(|key| self.entries[key].seen.path);
        let seen = self.seen(nic, refused.slot);
        let entry = self.entries.get_mut(forward).expect("a connection");
        (entry.seen, entry.blocked) = (seen, true);
        self.settle(answer);
        for (key, path) in [forward, &answer.key]
            .into_iter()
            .zip(owed)
            .filter(|_| again)
        {
            self.entries.get_mut(key).expect("a connection").seen.path = path;
        }
    }

    fn go_on(
        &mut self,
        nic: &NicInput,
        forward: &FlowKey,
        answer: Option<FlowKey>,
        allowed: Allowed,
        now: Tick,
    ) {
        let wanted = allowed.answer.as_ref().map(|answer| answer.key);
        if wanted == answer {
            let seen = self.seen(nic, allowed.slot);
            let entry = self.entries.get_mut(forward).expect("a connection");
            (entry.seen, entry.blocked) = (seen, false);
            if let Some(answer) = allowed.answer {
                self.settle(&answer);
            }
            return;
        }
        let flags_of = |key: Option<FlowKey>| key.map(|key| self.entries[&key].flags);
        let flags = [flags_of(Some(*forward)), flags_of(answer)];
        self.open(nic, forward, allowed, now);
        for (key, flags) in [Some(*forward), wanted].into_iter().zip(flags) {
            let entry = key.and_then(|key| self.entries.get_mut(&key));
            entry
                .into_iter()
                .for_each(|entry| entry.flags = flags.unwrap_or_default());
        }
    }

    pub(super) fn remove(&mut self, key: &FlowKey) {
        if let Some(entry) = self.entries.remove(key)
            && let Some(peer) = entry.peer
        {
            self.entries.remove(&peer);
        }
    }
}

impl Entry {
    /// Of an answer: the port that it went to when last looked.
    pub(super) fn through(&self) -> Option<PortId> {
        self.through
    }

    /// Of an answer: whether it went off the host when last looked.
    pub(super) fn goes_away(&self) -> bool {
        !self.blocked && self.through.is_none()
    }
}

pub(super) fn refuse(reason: DropReason, slot: MappingSlot) -> Refused {
    let passing = [DropReason::PortDown, DropReason::TcpNoConnection].contains(&reason);
    Refused {
        reason,
        slot,
        memorable: !passing,
    }
}

fn is_by_rule(reason: DropReason) -> bool {
    use DropReason::{AdminDeny, NsgDenyInbound, NsgDenyOutbound};
    [AdminDeny, NsgDenyInbound, NsgDenyOutbound].contains(&reason)
}
