//! The commonest frames off the uplink: one plain packet, in it another.

use std::net::IpAddr;
use std::ops::Range;

use wire::Vni;
use wire::dissect::{PlainAddresses, plain};
use wire::ethernet::HEADER_LEN as ETHERNET_LEN;
use wire::udp::UdpView;
use wire::vxlan::VxlanView;

/// What the outer headers of a VXLAN packet say.
///
/// [`wire::vxlan::pop_vxlan`] says the same of every frame for which this is found.
pub(crate) struct Tunnelled {
    pub(crate) vni: Vni,
    /// The provider address it came from.
    pub(crate) provider: IpAddr,
    /// The underlay has marked congestion (RFC 3168, 5).
    pub(crate) congested: bool,
    /// The Ethernet destination of the inner frame.
    pub(crate) destination: [u8; 6],
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
        let [a, b, c, d, e, f, ..] = *ethernet;
        let start = ETHERNET_LEN + outer.headers_len + wire::vxlan::HEADER_LEN;
        Some(Tunnelled {
            vni: vxlan.vni(),
            provider: source(outer.tuple.addresses)?,
            congested: outer.dscp_ecn & ECN == ECN,
            destination: [a, b, c, d, e, f],
            inner: start..start + vxlan.payload().len(),
        })
    }
}

const UDP: u8 = 17;

#[inline]
fn source(addresses: PlainAddresses<'_>) -> Option<IpAddr> {
    match addresses {
        PlainAddresses::V4(both) => both.first_chunk::<4>().map(|src| (*src).into()),
        PlainAddresses::V6(both) => both.first_chunk::<16>().map(|src| (*src).into()),
    }
}
