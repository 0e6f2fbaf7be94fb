//! The commonest frames off the uplink: one plain packet, in it another.

mod admitted;

use std::ops::Range;

use wire::dissect::{PlainAddresses, guess_tuple, plain};
use wire::ethernet::HEADER_LEN as ETHERNET_LEN;
use wire::udp::UdpView;
use wire::vxlan::VxlanView;
use wire::{Vni, ip::protocol::UDP};

pub(crate) use admitted::{Admitted, Tunnel};

/// What the outer headers of a VXLAN packet say.
///
/// [`wire::vxlan::pop_vxlan`] says the same of every frame for which this is found.
pub(crate) struct Tunnelled {
    pub(crate) tunnel: Tunnel,
    /// The underlay has marked congestion (RFC 3168, 5).
    pub(crate) congested: bool,
    /// Where the inner frame is.
    pub(crate) inner: Range<usize>,
}

const ECN: u8 = 0b11;

impl Tunnelled {
    /// Reads a frame whose outer packet is as most are. `None` says nothing about it.
    #[inline]
    pub(crate) fn of(frame: &[u8]) -> Option<Tunnelled> {
        let outer = plain(frame)?;
        let l4_offset = (ETHERNET_LEN + outer.headers_len).checked_sub(wire::udp::HEADER_LEN)?;
        let packet = frame.get(l4_offset..ETHERNET_LEN + outer.l3_len)?;
        // A TCP segment is read as a datagram of nonsense unless it is left out first.
        let datagram = UdpView::new(packet)
            .ok()
            .filter(|_| outer.tuple.proto == UDP)?;
        let vxlan = VxlanView::new(datagram.payload()).ok()?;
        let (ethernet, _) = vxlan.payload().split_first_chunk::<ETHERNET_LEN>()?;
        let start = ETHERNET_LEN + outer.headers_len + wire::vxlan::HEADER_LEN;
        Some(Tunnelled {
            tunnel: tunnel(outer.tuple.addresses, vxlan.vni(), ethernet)?,
            congested: outer.dscp_ecn & ECN == ECN,
            inner: start..start + vxlan.payload().len(),
        })
    }

    /// The tunnel and the inner frame, with what may follow it, of a frame that is as most are,
    /// which is not found out: for looking ahead. Where [`Tunnelled::of`] reads the frame, it finds
    /// the same tunnel, and the inner frame begins with the same byte.
    #[inline(always)]
    pub(crate) fn guess(frame: &[u8]) -> Option<(Tunnel, &[u8])> {
        const UDP_AND_VXLAN: usize = wire::udp::HEADER_LEN + wire::vxlan::HEADER_LEN;
        let outer = guess_tuple(frame)?;
        let ip_len = match outer.addresses {
            PlainAddresses::V4(_) => wire::ipv4::HEADER_LEN,
            PlainAddresses::V6(_) => wire::ipv6::HEADER_LEN,
        };
        let (headers, inner) = frame.split_at_checked(ETHERNET_LEN + ip_len + UDP_AND_VXLAN)?;
        let [a, b, c, _] = *headers.last_chunk()?;
        let vni = Vni::new(u32::from_be_bytes([0, a, b, c]))?;
        Some((tunnel(outer.addresses, vni, inner.first_chunk()?)?, inner))
    }
}

#[inline(always)]
fn tunnel(outer: PlainAddresses<'_>, vni: Vni, ethernet: &[u8; ETHERNET_LEN]) -> Option<Tunnel> {
    let destination = *ethernet.first_chunk()?;
    Some(match outer {
        PlainAddresses::V4(both) => Tunnel::over_ipv4(*both.first_chunk()?, vni, destination),
        PlainAddresses::V6(both) => Tunnel::over_ipv6(*both.first_chunk()?, vni, destination),
    })
}

#[cfg(test)]
mod tests;
