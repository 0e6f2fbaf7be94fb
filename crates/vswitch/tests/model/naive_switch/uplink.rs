//! What comes off the uplink, read byte by byte.

use std::net::IpAddr;
use std::ops::Range;

use flow::{DropReason, PortId, Tick};
use policy::input::{MappingTarget, SegmentInput};
use vswitch::{Gso, Outcome};
use wire::{Dissection, Kind, L4, dissect};

use super::{Handled, Judged, NaiveSwitch};

/// What the naive switch says of a frame off the uplink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) outcome: Outcome,
    /// The inner frame as it is sent; none when it ends here.
    pub(crate) frame: Option<Vec<u8>>,
    pub(crate) owner: PortId,
    pub(crate) inner: Range<usize>,
    pub(crate) replies: bool,
}

/// What the outer headers say.
struct Tunnel {
    provider: IpAddr,
    vni: u32,
    congested: bool,
    inner: Range<usize>,
}

impl Tunnel {
    /// None of what is no whole VXLAN packet (RFC 7348, 5).
    fn read(frame: &[u8]) -> Option<Tunnel> {
        let Dissection {
            kind: Kind::Ip(ip), ..
        } = dissect(frame).ok()?
        else {
            return None;
        };
        if ip.fragment.is_some() || !matches!(ip.l4, L4::Udp { .. }) {
            return None;
        }
        let udp = &frame[ip.l4_offset..];
        let end = usize::from(u16::from_be_bytes([udp[4], udp[5]]));
        let vxlan = udp[..end].get(8..16)?;
        let valid = vxlan[0] & 0x08 != 0 && end >= 8 + 8 + 14;
        valid.then(|| Tunnel {
            provider: ip.src,
            vni: u32::from_be_bytes([0, vxlan[4], vxlan[5], vxlan[6]]),
            congested: ip.dscp_ecn & 3 == 3,
            inner: ip.l4_offset + 16..ip.l4_offset + end,
        })
    }
}

impl NaiveSwitch {
    pub(crate) fn process_uplink(&mut self, frame: &[u8], gso: Option<Gso>, now: Tick) -> Arrived {
        let counters = &mut self
            .ports
            .get_mut(&PortId::UPLINK)
            .expect("always there")
            .counters;
        counters.from_guest_packets += 1;
        counters.from_guest_bytes += frame.len() as u64;
        let mut arrived = Arrived {
            outcome: Outcome::Answered,
            frame: None,
            owner: PortId::UPLINK,
            inner: 0..frame.len(),
            replies: false,
        };
        arrived.outcome = match self.receive(frame, gso, now, &mut arrived) {
            Ok(Handled::Sent(outcome, frame)) => {
                arrived.frame = Some(frame);
                outcome
            }
            Ok(Handled::Answered) => Outcome::Answered,
            Err(reason) => Outcome::Dropped(reason),
        };
        self.count_outcome(arrived.owner, arrived.outcome, arrived.inner.len());
        arrived
    }

    /// Replies are the switch's to compose; here they are only counted.
    pub(crate) fn count_reply_off(&mut self, encap: &flow::Encap, bytes: usize) {
        let outer = usize::try_from(super::outer_len(encap)).expect("short");
        self.count_reply(PortId::UPLINK, bytes + outer);
    }

    fn receive(
        &mut self,
        frame: &[u8],
        gso: Option<Gso>,
        now: Tick,
        arrived: &mut Arrived,
    ) -> Judged<Handled> {
        if !self.ports[&PortId::UPLINK].up || self.input.uplink.is_none() {
            return Err(DropReason::UplinkUnavailable);
        }
        let tunnel = Tunnel::read(frame).ok_or(DropReason::Malformed)?;
        let segments = &self.input.segments;
        let segment = segments
            .iter()
            .find(|segment| segment.vni.get() == tunnel.vni)
            .ok_or(DropReason::UnknownVni)?;
        if !self.trusts(segment, tunnel.provider) {
            return Err(DropReason::UnknownProvider);
        }
        let frame = &frame[tunnel.inner.clone()];
        let mut nics = segment
            .vnets
            .iter()
            .flat_map(|vnet| self.input.nics.iter().filter(move |nic| nic.vnet == *vnet));
        let Some(nic) = nics.find(|nic| nic.mac == frame[..6]).cloned() else {
            return Err(match frame[0] {
                0xff if frame[..6] == [0xff; 6] => DropReason::Broadcast,
                first if first & 1 == 1 => DropReason::Multicast,
                _ => DropReason::UnknownDestinationMac,
            });
        };
        (arrived.owner, arrived.inner) = (nic.port, tunnel.inner);
        let Kind::Ip(ip) = dissect(frame).map_err(|_| DropReason::Malformed)?.kind else {
            return Err(DropReason::UnsupportedEthertype);
        };
        let later = matches!(ip.l4, L4::NonFirstFragment);
        if frame[12] == 0x86
            && ip.proto == 58
            && !later
            && (133..138).contains(&frame[ip.l4_offset])
        {
            return Err(DropReason::UnansweredNeighbour);
        }
        if tunnel.congested && ip.dscp_ecn & 3 == 0 {
            return Err(DropReason::CongestionNotEcnCapable);
        }
        let from = PortId(nic.port.0 | 0x8000);
        let sent = self.forward(&nic, from, &ip, frame, gso, now, &mut arrived.replies)?;
        Ok(match sent {
            Handled::Sent(outcome, mut frame) if tunnel.congested => {
                super::frames::mark_congestion(&mut frame, &ip);
                Handled::Sent(outcome, frame)
            }
            sent => sent,
        })
    }

    /// Whether a NIC of these networks is on that host.
    fn trusts(&self, segment: &SegmentInput, provider: IpAddr) -> bool {
        self.input.mappings.iter().any(|mapping| {
            let there = match mapping.target {
                MappingTarget::Remote { encap, .. } => encap.outer_dst == provider,
                MappingTarget::Port(_) => false,
            };
            there && segment.vnets.contains(&mapping.vnet)
        })
    }
}
