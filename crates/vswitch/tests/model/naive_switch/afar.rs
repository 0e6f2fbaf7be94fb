//! Connections with other hosts: opened from there, answered from there, and moving there or here.

use flow::{DropReason, FlowKey, PortId, Tick};
use policy::input::{MappingTarget, NicInput};
use policy::{Judgement, Tuple, naive};

use super::connections::{Allowed, Entry, Refused, Rules, refuse};
use super::ways::{Way, denied};
use super::{Judged, NaiveSwitch};

impl NaiveSwitch {
    /// A packet off the uplink: the rules inbound of the NIC that it is for.
    pub(super) fn decide_arrival(
        &self,
        nic: &NicInput,
        key: &FlowKey,
        rules: Rules,
        through: Option<PortId>,
    ) -> Result<Allowed, Refused> {
        let (way, slot) = self.way(nic, key);
        way.map_err(|reason| refuse(reason, slot))?;
        let syn = rules == Rules::Ask { opens: true } && key.protocol() == 6;
        let called = self.was_opened_by(&key.reversed_at(nic.port));
        if called && !syn {
            return Ok(Allowed { slot, answer: None });
        }
        if rules != Rules::Spare
            && let Judgement::Deny(layer) = naive::inbound(nic, &Tuple::from(key)).judgement
        {
            let refused = refuse(denied(layer, DropReason::NsgDenyInbound), slot);
            return Err(Refused {
                memorable: !called,
                ..refused
            });
        }
        // An answer to somebody behind this NIC.
        let opener = self.port_of(nic, key.dst());
        let relays = nic.ip_forwarding && !nic.addresses.contains(&key.dst());
        let passes =
            relays && opener.is_some_and(|port| self.was_opened_by(&key.reversed_at(port)));
        if passes && !syn {
            return Ok(Allowed { slot, answer: None });
        }
        if rules == (Rules::Ask { opens: false }) {
            return Err(refuse(DropReason::TcpNoConnection, slot));
        }
        let answer = Some(self.answer(key, nic.port, through));
        Ok(Allowed { slot, answer })
    }

    /// Whether what an appliance sends off the host answers, for another NIC, who opened from there.
    pub(super) fn answers_for_other(&self, nic: &NicInput, key: &FlowKey) -> bool {
        let other = self.port_of(nic, key.src());
        let opened = |PortId(other)| self.was_opened_by(&key.reversed_at(PortId(other | 0x8000)));
        nic.ip_forwarding && !nic.addresses.contains(&key.src()) && other.is_some_and(opened)
    }

    /// A segment without a flow, of a connection whose opener has moved: the connection moves too.
    pub(super) fn take_along(&mut self, nic: &NicInput, key: &FlowKey, now: Tick) -> Judged<bool> {
        let Ok(Way {
            target: MappingTarget::Port(receiver),
            ..
        }) = self.way(nic, key).0
        else {
            return Ok(false);
        };
        let answer = key.reversed_at(receiver);
        let known = self.entries.get(&answer);
        let opener = known
            .filter(|entry| !entry.forward)
            .and_then(|entry| entry.peer);
        if opener.and_then(|opener| self.relocated(&opener, &answer)) != Some(*key) {
            return Ok(false);
        }
        self.look_again(&answer, now)?;
        Ok(self.entries.contains_key(key))
    }

    /// A connection under another opener's key: as far as it was, and counted anew.
    pub(super) fn rekey(&mut self, before: &FlowKey, answer: &FlowKey, key: &FlowKey, now: Tick) {
        self.relocations += 1;
        let anew = |mut entry: Entry| {
            (entry.packets, entry.bytes, entry.last_seen) = (0, 0, now);
            entry
        };
        let forward = anew(self.entries.remove(before).expect("a connection"));
        let mut back = anew(self.entries.remove(answer).expect("a connection"));
        self.remove(key);
        self.entries.insert(*key, forward);
        back.peer = Some(*key);
        self.entries.insert(*answer, back);
    }

    /// An appliance asks on behalf of another NIC, to which the answers may come straight.
    pub(super) fn forget_refused_off_uplink(&mut self, answer: &FlowKey, opener: &Option<FlowKey>) {
        let Some(opener) = opener.filter(|opener| !opener.port().is_from_uplink()) else {
            return;
        };
        let nic = self.nic(opener.port()).expect("a NIC of the world");
        let away = matches!(
            self.way(nic, &opener).0,
            Ok(Way {
                target: MappingTarget::Remote { .. },
                ..
            })
        );
        let asker = self.port_of(nic, opener.src());
        let own = nic.addresses.contains(&opener.src());
        if let Some(PortId(asker)) = asker.filter(|_| away && !own) {
            let refused = answer.at(PortId(asker | 0x8000));
            let known = self.entries.get(&refused);
            if known.is_some_and(|entry| entry.refused.is_some()) {
                self.remove(&refused);
            }
        }
    }

    /// Where a connection's opener sends from now, if it moved between this host and others: its
    /// answers, which went to where it was, go to where it is.
    pub(super) fn relocated(&self, opener: &FlowKey, answer: &FlowKey) -> Option<FlowKey> {
        if answer.port().is_from_uplink() {
            return None;
        }
        let before = &self.entries[answer];
        let answerer = self.nic(answer.port()).expect("a NIC of the world");
        let target = self.way(answerer, answer).0.ok()?.target;
        match target {
            MappingTarget::Port(home) => {
                let owns = self.nic(home)?.addresses.contains(&opener.src());
                if !opener.port().is_from_uplink() || before.through() == Some(home) || !owns {
                    return None;
                }
                let moved = opener.at(home);
                let (way, _) = self.way(self.nic(home)?, &moved);
                let direct = MappingTarget::Port(answerer.port);
                way.is_ok_and(|way| way.target == direct).then_some(moved)
            }
            MappingTarget::Remote { .. } => {
                if opener.port().is_from_uplink() || before.goes_away() {
                    return None;
                }
                let nic = self.nic(opener.port()).expect("a NIC of the world");
                let its_own = !nic.ip_forwarding || nic.addresses.contains(&opener.src());
                let home = naive::appliance(&self.input, answerer, opener.src());
                let away = matches!(home, Some(MappingTarget::Remote { .. }));
                (its_own && away).then(|| opener.at(PortId(answerer.port.0 | 0x8000)))
            }
        }
    }
}
