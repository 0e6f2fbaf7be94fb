//! The upper layer of a packet, and of a packet quoted in an ICMP error.

use super::{InnerL4, InnerTuple, L4};
use crate::{
    Family, ParseError,
    icmpv4::{self, Icmpv4View},
    icmpv6::{self, Icmpv6View, NeighbourSolicitView},
    ip::{Fragment, protocol},
    ipv4::Ipv4View,
    ipv6::{self, Ipv6View, walk_extensions},
    octets::u16_at,
    tcp::TcpView,
    udp::UdpView,
};

/// Reads the upper-layer header at the start of `bytes`, which begin `offset` bytes into the frame.
/// A first fragment must hold that header whole (RFC 1858, RFC 7112).
#[inline]
pub(super) fn read(
    family: Family,
    proto: u8,
    bytes: &[u8],
    fragment: Option<Fragment>,
    offset: usize,
) -> Result<L4, ParseError> {
    if fragment.is_some_and(|fragment| !fragment.is_first()) {
        return Ok(L4::NonFirstFragment);
    }
    Ok(match (proto, family) {
        (protocol::TCP, _) => {
            let tcp = TcpView::new(bytes)?;
            L4::Tcp {
                sport: tcp.src_port(),
                dport: tcp.dst_port(),
                flags: tcp.flags(),
            }
        }
        (protocol::UDP, _) => {
            let udp = match fragment {
                None => UdpView::new(bytes)?,
                Some(_) => UdpView::of_first_fragment(bytes)?,
            };
            L4::Udp {
                sport: udp.src_port(),
                dport: udp.dst_port(),
            }
        }
        (protocol::ICMPV4, Family::V4) => icmpv4(Icmpv4View::new(bytes)?, offset),
        (protocol::ICMPV6, Family::V6) => icmpv6(Icmpv6View::new(bytes)?, fragment, offset)?,
        _ => L4::Other,
    })
}

fn icmpv4(icmp: Icmpv4View<'_>, offset: usize) -> L4 {
    match icmp.message_type() {
        icmpv4::message::ECHO_REQUEST => L4::IcmpEcho {
            request: true,
            ident: icmp.ident(),
        },
        icmpv4::message::ECHO_REPLY => L4::IcmpEcho {
            request: false,
            ident: icmp.ident(),
        },
        _ if icmp.is_error() => L4::IcmpError {
            inner: quoted_ipv4(icmp.payload(), offset + icmpv4::HEADER_LEN),
        },
        type_ => L4::IcmpOther {
            type_,
            code: icmp.code(),
        },
    }
}

fn icmpv6(
    icmp: Icmpv6View<'_>,
    fragment: Option<Fragment>,
    offset: usize,
) -> Result<L4, ParseError> {
    use icmpv6::message;
    let whole = fragment.is_none() && icmp.code() == 0;
    Ok(match icmp.message_type() {
        message::ECHO_REQUEST => L4::IcmpEcho {
            request: true,
            ident: icmp.ident(),
        },
        message::ECHO_REPLY => L4::IcmpEcho {
            request: false,
            ident: icmp.ident(),
        },
        _ if icmp.is_error() => L4::IcmpError {
            inner: quoted_ipv6(icmp.payload(), offset + icmpv6::HEADER_LEN),
        },
        message::NEIGHBOUR_SOLICIT if whole => L4::NeighbourSolicit {
            target: NeighbourSolicitView::new(icmp)?.target(),
        },
        message::NEIGHBOUR_ADVERT if whole => L4::NeighbourAdvert,
        message::ROUTER_SOLICIT if whole => L4::RouterSolicit,
        type_ => L4::IcmpOther {
            type_,
            code: icmp.code(),
        },
    })
}

/// The quoted header's checksum is not checked: routers on the way may quote it before or after
/// their own changes to it.
fn quoted_ipv4(bytes: &[u8], offset: usize) -> Option<InnerTuple> {
    let view = Ipv4View::quoted(bytes).ok()?;
    if view.fragment().is_some_and(|fragment| !fragment.is_first()) {
        return None;
    }
    Some(InnerTuple {
        src: view.src().into(),
        dst: view.dst().into(),
        proto: view.protocol(),
        l4: quoted_l4(Family::V4, view.protocol(), view.payload())?,
        l3_offset: offset,
        l4_offset: offset + view.header_len(),
    })
}

fn quoted_ipv6(bytes: &[u8], offset: usize) -> Option<InnerTuple> {
    let view = Ipv6View::quoted(bytes).ok()?;
    let extensions = walk_extensions(view.next_header(), view.payload()).ok()?;
    if extensions
        .fragment
        .is_some_and(|fragment| !fragment.is_first())
    {
        return None;
    }
    Some(InnerTuple {
        src: view.src().into(),
        dst: view.dst().into(),
        proto: extensions.proto,
        l4: quoted_l4(
            Family::V6,
            extensions.proto,
            &view.payload()[extensions.len..],
        )?,
        l3_offset: offset,
        l4_offset: offset + ipv6::HEADER_LEN + extensions.len,
    })
}

/// Errors quote at least eight bytes of upper layer (RFC 792), which hold ports or identifier.
/// `None` if there are fewer.
fn quoted_l4(family: Family, proto: u8, bytes: &[u8]) -> Option<InnerL4> {
    let first: &[u8; 8] = match (proto, family) {
        (protocol::TCP | protocol::UDP, _)
        | (protocol::ICMPV4, Family::V4)
        | (protocol::ICMPV6, Family::V6) => bytes.first_chunk()?,
        _ => return Some(InnerL4::Other),
    };
    Some(match (proto, first[0]) {
        (protocol::TCP | protocol::UDP, _) => InnerL4::Ports {
            sport: u16_at(first, 0),
            dport: u16_at(first, 2),
        },
        (protocol::ICMPV4, icmpv4::message::ECHO_REQUEST)
        | (protocol::ICMPV6, icmpv6::message::ECHO_REQUEST) => InnerL4::Echo {
            request: true,
            ident: u16_at(first, 4),
        },
        (protocol::ICMPV4, icmpv4::message::ECHO_REPLY)
        | (protocol::ICMPV6, icmpv6::message::ECHO_REPLY) => InnerL4::Echo {
            request: false,
            ident: u16_at(first, 4),
        },
        _ => InnerL4::Other,
    })
}
