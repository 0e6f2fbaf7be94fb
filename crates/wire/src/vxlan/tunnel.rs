//! Putting a frame into a tunnel and taking it out.

use core::{net::IpAddr, ops::Range};

use super::{HEADER_LEN, Vni, VxlanRepr, VxlanView};
use crate::{
    EmitError, Header, Kind, L4, MacAddr, ParseError, dissect,
    error::room,
    ethernet::{self, EtherType, EthernetRepr, EthernetView},
    ip::{FragmentOffset, protocol},
    ipv4::{self, Ipv4Repr},
    ipv6::{self, FlowLabel, Ipv6Repr},
    octets::put,
    options::HeaderOptions,
    udp::{self, UdpRepr, UdpView},
};

/// Bytes of UDP and VXLAN headers.
const TUNNEL_LEN: usize = udp::HEADER_LEN + HEADER_LEN;

/// The outer headers of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VxlanEncap {
    /// Ethernet source in the underlay.
    pub outer_src_mac: MacAddr,
    /// Ethernet destination in the underlay: the next hop.
    pub outer_dst_mac: MacAddr,
    /// This end of the tunnel.
    pub outer_src: IpAddr,
    /// The other end, of the same family.
    pub outer_dst: IpAddr,
    /// The tenant's network.
    pub vni: Vni,
    /// UDP source port: entropy of the inner flow, for the underlay's load balancing.
    pub src_port: u16,
    /// UDP destination port, by default [`super::PORT`].
    pub dst_port: u16,
    /// Differentiated services and congestion notification; the traffic class of IPv6.
    pub dscp_ecn: u8,
    /// Time to live or hop limit, usually 64.
    pub ttl: u8,
    /// IPv4 identification; unused with IPv6.
    pub ip_id: u16,
    /// IPv4 "don't fragment"; unused with IPv6.
    pub dont_fragment: bool,
}

impl VxlanEncap {
    /// Bytes of outer headers: 50 over IPv4, 70 over IPv6.
    #[must_use]
    pub const fn overhead(&self) -> usize {
        let ip = match self.outer_dst {
            IpAddr::V4(_) => ipv4::HEADER_LEN,
            IpAddr::V6(_) => ipv6::HEADER_LEN,
        };
        ethernet::HEADER_LEN + ip + udp::HEADER_LEN + HEADER_LEN
    }
}

/// Why a frame could not be put into a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// One tunnel end is IPv4 and the other IPv6.
    #[error("tunnel ends {outer_src} and {outer_dst} are of different IP versions")]
    MixedFamilies {
        /// This end.
        outer_src: IpAddr,
        /// The other end.
        outer_dst: IpAddr,
    },
    /// The frame is too long for a tunnel, or the buffer too small for both.
    #[error(transparent)]
    Emit(#[from] EmitError),
}

/// Writes `frame` behind its outer headers into `out` and returns the length of both.
pub fn push_vxlan(frame: &[u8], encap: &VxlanEncap, out: &mut [u8]) -> Result<usize, PushError> {
    let overhead = encap.overhead();
    let out = room(out, overhead + frame.len())?;
    write_vxlan_headers(encap, frame.len(), out)?;
    put(out, overhead, frame);
    Ok(out.len())
}

/// As [`push_vxlan`], but begins with the outer IP header: for who leaves Ethernet to somebody else,
/// as raw IP sockets do. The Ethernet addresses have no meaning then.
pub fn push_vxlan_ip(frame: &[u8], encap: &VxlanEncap, out: &mut [u8]) -> Result<usize, PushError> {
    let overhead = encap.overhead() - ethernet::HEADER_LEN;
    let out = room(out, overhead + frame.len())?;
    write_from_ip(encap, frame.len(), out)?;
    put(out, overhead, frame);
    Ok(out.len())
}

/// Writes only the outer headers, for a frame of `frame_len` bytes that the caller places behind
/// them. Returns their length.
///
/// The outer UDP checksum is zero. RFC 7348 section 5 asks for that over IPv4; over IPv6 RFC 6935
/// allows it for tunnels whose inner packets are protected by checksums of their own.
pub fn write_vxlan_headers(
    encap: &VxlanEncap,
    frame_len: usize,
    out: &mut [u8],
) -> Result<usize, PushError> {
    let out = room(out, encap.overhead())?;
    let (ethernet, ip) = out.split_at_mut(ethernet::HEADER_LEN);
    let (ethertype, ip_len) = write_from_ip(encap, frame_len, ip)?;
    let (dst, src) = (encap.outer_dst_mac, encap.outer_src_mac);
    let repr = EthernetRepr {
        dst,
        src,
        ethertype,
    };
    Ok(repr.emit(ethernet)? + ip_len)
}

/// Writes the outer headers from IP on; their length, and the type that Ethernet would give them.
fn write_from_ip(
    encap: &VxlanEncap,
    frame_len: usize,
    out: &mut [u8],
) -> Result<(EtherType, usize), PushError> {
    let ip_header_len = encap.overhead() - TUNNEL_LEN - ethernet::HEADER_LEN;
    // The length field of IPv4 counts its own header, that of IPv6 does not.
    let counted = if encap.outer_dst.is_ipv4() {
        ip_header_len
    } else {
        0
    };
    let max = usize::from(u16::MAX) - TUNNEL_LEN - counted;
    let too_long = EmitError::PayloadTooLong {
        header: Header::Vxlan,
        len: frame_len,
        max,
    };
    let inner_len = u16::try_from(frame_len)
        .ok()
        .filter(|_| frame_len <= max)
        .ok_or(too_long)?;
    let (udp_payload_len, payload_len) = (inner_len + 8, inner_len + 16);
    let (ethertype, mut at) = write_outer_ip(encap, payload_len, out)?;
    let (src_port, dst_port) = (encap.src_port, encap.dst_port);
    at += UdpRepr {
        src_port,
        dst_port,
        payload_len: udp_payload_len,
    }
    .emit(&mut out[at..])?;
    at += VxlanRepr { vni: encap.vni }.emit(&mut out[at..])?;
    Ok((ethertype, at))
}

fn write_outer_ip(
    encap: &VxlanEncap,
    payload_len: u16,
    out: &mut [u8],
) -> Result<(EtherType, usize), PushError> {
    match (encap.outer_src, encap.outer_dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let ip = Ipv4Repr {
                dscp_ecn: encap.dscp_ecn,
                ident: encap.ip_id,
                dont_fragment: encap.dont_fragment,
                more_fragments: false,
                fragment_offset: FragmentOffset::ZERO,
                ttl: encap.ttl,
                protocol: protocol::UDP,
                src,
                dst,
                options: HeaderOptions::NONE,
                payload_len,
            };
            Ok((EtherType::IPV4, ip.emit(out)?))
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let ip = Ipv6Repr {
                traffic_class: encap.dscp_ecn,
                flow_label: FlowLabel::ZERO,
                payload_len,
                next_header: protocol::UDP,
                hop_limit: encap.ttl,
                src,
                dst,
            };
            Ok((EtherType::IPV6, ip.emit(out)?))
        }
        (outer_src, outer_dst) => Err(PushError::MixedFamilies {
            outer_src,
            outer_dst,
        }),
    }
}

/// What the outer headers of a tunnel packet say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VxlanHeaderInfo {
    /// Ethernet source in the underlay.
    pub outer_src_mac: MacAddr,
    /// Ethernet destination in the underlay.
    pub outer_dst_mac: MacAddr,
    /// The sending end of the tunnel.
    pub outer_src: IpAddr,
    /// The receiving end of the tunnel.
    pub outer_dst: IpAddr,
    /// The tenant's network.
    pub vni: Vni,
    /// UDP source port.
    pub src_port: u16,
    /// UDP destination port. Any is accepted: which one carries VXLAN is the caller's to know.
    pub dst_port: u16,
    /// Differentiated services and congestion notification; the traffic class of IPv6.
    pub dscp_ecn: u8,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// The outer UDP checksum, zero if the sender computed none. RFC 7348 section 5 lets a receiver
    /// skip its verification; [`crate::checksum::verify_l4`] does it.
    pub udp_checksum: u16,
}

/// Reads the outer headers of a tunnel packet and says where in `frame` the inner frame is. That is
/// at least an Ethernet header long. A packet that is not UDP, or is a fragment, is refused.
pub fn pop_vxlan(frame: &[u8]) -> Result<(VxlanHeaderInfo, Range<usize>), ParseError> {
    let outer = dissect(frame)?;
    let not_a_tunnel = |field, value| ParseError::BadField {
        header: Header::Vxlan,
        field,
        value,
    };
    let packet = match outer.kind {
        Kind::Ip(packet) => packet,
        Kind::Arp => return Err(not_a_tunnel("ethertype", u32::from(EtherType::ARP.0))),
        Kind::Other { ethertype } => return Err(not_a_tunnel("ethertype", u32::from(ethertype.0))),
    };
    let (src_port, dst_port) = match packet.l4 {
        L4::Udp { sport, dport } if packet.fragment.is_none() => (sport, dport),
        _ if packet.fragment.is_some() => return Err(not_a_tunnel("fragment", 1)),
        _ => return Err(not_a_tunnel("IP protocol", u32::from(packet.proto))),
    };
    let udp = UdpView::new(&frame[packet.l4_offset..packet.l3_offset + packet.l3_len])?;
    let vxlan = VxlanView::new(udp.payload())?;
    EthernetView::new(vxlan.payload())?;
    let start = packet.l4_offset + udp::HEADER_LEN + HEADER_LEN;
    let info = VxlanHeaderInfo {
        outer_src_mac: outer.src,
        outer_dst_mac: outer.dst,
        outer_src: packet.src,
        outer_dst: packet.dst,
        vni: vxlan.vni(),
        src_port,
        dst_port,
        dscp_ecn: packet.dscp_ecn,
        ttl: packet.ttl,
        udp_checksum: udp.checksum(),
    };
    Ok((info, start..start + vxlan.payload().len()))
}
