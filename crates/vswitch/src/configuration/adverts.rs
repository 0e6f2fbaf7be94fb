//! Unsolicited router advertisements (RFC 4861, 6.2.4). A router's lifetime has 16 bits of seconds,
//! and a host that has heard a router solicits no more: without these a guest that runs for a day
//! would lose its default route.

use std::time::Duration;

use flow::{PortId, Tick};

use super::router_advert;
use crate::switch::Switch;

/// The longest time RFC 4861 (6.2.1) has between two.
const PERIOD: Duration = Duration::from_secs(1_800);

/// How far the present round is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Adverts {
    /// The next port of the round; past the last when the round is over.
    next: Option<usize>,
    /// When the next round is due; unknown before the first look at the time.
    due: Option<Tick>,
}

impl Switch {
    /// The next port whose guest is to be told of its router unasked; the frame for it is
    /// [`Switch::reply`]. To be called now and then, until there is none: all ports with IPv6 have
    /// their turn every half hour, the first time half an hour after the first call. New guests ask.
    pub fn advertise(&mut self, now: Tick) -> Option<PortId> {
        let due = *self.adverts.due.get_or_insert(now + PERIOD);
        if now >= due {
            self.adverts = Adverts {
                next: Some(0),
                due: Some(now + PERIOD),
            };
        }
        let mut slot = self.adverts.next?;
        while slot < self.ports.len() {
            let port = u16::try_from(slot).map(PortId).ok()?;
            slot += 1;
            self.adverts.next = Some(slot);
            if self.advertise_to(port) {
                return Some(port);
            }
        }
        self.adverts.next = None;
        None
    }

    /// False when there is nothing to tell, or nobody to be told.
    fn advertise_to(&mut self, port: PortId) -> bool {
        if !self.is_up(port) {
            return false;
        }
        let Some(nic) = self.policy.nic(port) else {
            return false;
        };
        let Ok(len) = router_advert::to_all(nic, &mut self.reply) else {
            return false;
        };
        self.reply_len = len;
        self.reply_tunnel = None;
        if let Some(port) = self.port_mut(port) {
            port.counters.to_guest_packets += 1;
            port.counters.to_guest_bytes += len as u64;
        }
        true
    }
}
