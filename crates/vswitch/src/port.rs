//! Ports: how they come and go, and what is counted for them.

use std::num::NonZeroU32;

use flow::{Counters, DropCounters, DropReason, FlowKey, PortId, PortMode};

use crate::limiter::Limiter;
use crate::{Outcome, Switch};

/// ICMP errors a second that the switch sends to one port: enough to learn the MTU of many paths at
/// once, too few to keep anybody busy.
const ICMP_ERRORS_PER_SECOND: u32 = 2_000;

/// Questions about its configuration that one port may ask in a second: a client asks four times in
/// all, and again after some hours.
const QUESTIONS_PER_SECOND: u32 = 100;

/// What the switch itself counted for a port; an engine's share is the engine's to report.
///
/// The guest of [`PortId::UPLINK`] is the wire: `from_guest_*` are the frames that came off it,
/// `to_guest_*` those that went out on it, both with their outer headers.
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
    /// ARP, neighbour discovery, configuration and ICMP errors the switch answered itself.
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
    pub(crate) questions: Limiter,
}

impl Port {
    /// Counts a frame that its guest sent.
    #[inline]
    pub(crate) fn count_from_guest(&mut self, bytes: usize) {
        self.counters.from_guest_packets += 1;
        self.counters.from_guest_bytes += bytes as u64;
    }

    /// Counts a frame that is sent to its guest.
    #[inline]
    pub(crate) fn count_to_guest(&mut self, bytes: u64) {
        self.counters.to_guest_packets += 1;
        self.counters.to_guest_bytes += bytes;
    }
}

impl Switch {
    /// Changes what each port may hold and do. What is held for all ports together was fixed when
    /// the switch was made.
    pub fn set_port_limits(
        &mut self,
        flows_max: NonZeroU32,
        first_packets_per_second: u32,
        resimulations_per_second: u32,
    ) {
        self.limits.flows_per_port_max = flows_max;
        self.limits.first_packets_per_second = first_packets_per_second;
        self.limits.resimulations_per_second = resimulations_per_second;
        self.flows.set_flows_per_port_max(flows_max);
        for port in self.ports.iter_mut().flatten() {
            port.first_packets = Limiter::per_second(first_packets_per_second);
            port.resimulations = Limiter::per_second(resimulations_per_second);
        }
    }

    /// Adds a port, or attaches a device to it again; its counters and flows stay.
    /// [`PortId::UPLINK`] says that the host has an uplink, and that it is up.
    pub fn add_port(&mut self, port: PortId, mode: PortMode) {
        let slot = usize::from(port.0);
        if self.ports.len() <= slot {
            self.ports.resize_with(slot + 1, || None);
        }
        let limits = &self.limits;
        let entry = self.ports[slot].get_or_insert_with(|| Port {
            mode,
            up: true,
            counters: PortCounters::default(),
            first_packets: Limiter::per_second(limits.first_packets_per_second),
            resimulations: Limiter::per_second(limits.resimulations_per_second),
            icmp_errors: Limiter::per_second(ICMP_ERRORS_PER_SECOND),
            questions: Limiter::per_second(QUESTIONS_PER_SECOND),
        });
        entry.mode = mode;
        entry.up = true;
    }

    /// Takes a port's device away: what is sent to it is dropped as [`DropReason::PortDown`].
    pub fn set_down(&mut self, port: PortId) {
        if let Some(port) = self.port_mut(port) {
            port.up = false;
        }
    }

    /// Removes a port with all its flows. A connection whose end there is on another host by the
    /// policy of now goes on with that host.
    pub fn remove_port(&mut self, port: PortId) {
        self.hand_over(port);
        self.flows.remove_port(port, &mut self.removed);
        self.collect_removed();
        self.fragments.forget_port(port);
        if let Some(slot) = self.ports.get_mut(usize::from(port.0)) {
            *slot = None;
        }
    }

    /// Notes who executes the port's flows.
    pub fn set_mode(&mut self, port: PortId, mode: PortMode) {
        if let Some(port) = self.port_mut(port) {
            port.mode = mode;
        }
    }

    /// A port as it stands.
    pub fn port(&self, port: PortId) -> Option<PortView<'_>> {
        let entry = self.ports.get(usize::from(port.0))?.as_ref()?;
        Some(PortView {
            mode: entry.mode,
            up: entry.up,
            counters: &entry.counters,
            flows: self.flows.port_len(port),
        })
    }

    /// Counts a frame that ended before the switch had it, or after: what asks of devices what
    /// does not fit it, or what the kernel did not take.
    pub fn count_drop(&mut self, sender: PortId, reason: DropReason, bytes: usize) {
        if let Some(port) = self.port_mut(sender) {
            port.counters.drops.add(reason, 1, bytes as u64);
        }
    }

    /// Counts what an engine dropped by an entry it had.
    pub fn count_engine_drops(&mut self, key: &FlowKey, reason: DropReason, counted: &Counters) {
        if let Some(port) = self.port_mut(key.owner()) {
            port.counters
                .drops
                .add(reason, counted.packets, counted.bytes);
        }
    }

    /// Counts a frame that is sent where it is received: by a guest, or by the wire.
    pub(crate) fn count_sent(&mut self, outcome: &Outcome, bytes: u64) {
        let (to, bytes) = match *outcome {
            Outcome::Deliver(port) => (port, bytes),
            Outcome::Uplink { encap, .. } => (PortId::UPLINK, bytes + encap.overhead() as u64),
            Outcome::Answered | Outcome::Dropped(_) => return,
        };
        if let Some(receiver) = self.port_mut(to) {
            receiver.count_to_guest(bytes);
        }
    }

    pub(crate) fn is_up(&self, port: PortId) -> bool {
        let entry = self.ports.get(usize::from(port.0));
        entry.and_then(Option::as_ref).is_some_and(|port| port.up)
    }

    pub(crate) fn port_mut(&mut self, port: PortId) -> Option<&mut Port> {
        self.ports.get_mut(usize::from(port.0))?.as_mut()
    }
}

/// Whose budget of first packets, re-simulations and ICMP errors a frame is charged to: its
/// sender's and, off the uplink, the uplink's. So a flood from afar takes nothing from what a guest
/// may do itself.
pub(crate) fn payer(from: PortId) -> PortId {
    if from.is_from_uplink() {
        PortId::UPLINK
    } else {
        from
    }
}
