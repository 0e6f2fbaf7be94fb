//! What the data path must know of a frame, found in one pass without allocation.

mod plain;
mod transport;

use core::net::IpAddr;

use crate::{
    Family, Header, MacAddr, ParseError, TcpFlags,
    ethernet::{EtherType, EthernetView, HEADER_LEN as ETHERNET_LEN},
    ip::Fragment,
    ipv4::Ipv4View,
    ipv6::{self, Ipv6View, walk_extensions},
};

pub use plain::{PlainAddresses, PlainPacket, PlainTuple, guess_tuple, plain, plain_head};

/// Why a frame was refused; one enum with the views' errors, as these are what fails.
pub type DissectError = ParseError;

/// A frame's addresses and what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dissection {
    /// Ethernet destination.
    pub dst: MacAddr,
    /// Ethernet source.
    pub src: MacAddr,
    /// What the frame carries.
    pub kind: Kind,
}

/// Copied from stage to stage of the data path: two cache lines and a bit, no more.
const _: () = assert!(size_of::<Dissection>() <= 152);

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// ARP, to be read with [`crate::arp::ArpView`].
    Arp,
    /// An IP packet.
    Ip(IpPacket),
    /// Anything else. For a tagged frame this is the tag protocol identifier.
    Other {
        /// The frame's type.
        ethertype: EtherType,
    },
}

/// An IPv4 or IPv6 packet inside a frame. All offsets count from the start of the frame, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpPacket {
    /// IP version; that of both addresses.
    pub family: Family,
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Protocol after any extension headers; see [`ipv6::Extensions::proto`] for fragments.
    pub proto: u8,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// Differentiated services and congestion notification; the traffic class of IPv6.
    pub dscp_ecn: u8,
    /// Where the IP header begins.
    pub l3_offset: usize,
    /// Where the upper-layer header begins; in a fragment other than the first, its data.
    pub l4_offset: usize,
    /// Bytes in the IP packet, header included. What follows in the frame is padding.
    pub l3_len: usize,
    /// The packet's place in its datagram; `None` if it is the whole.
    pub fragment: Option<Fragment>,
    /// Routers may not fragment this packet; always true of IPv6.
    pub dont_fragment: bool,
    /// The packet has IPv4 options or IPv6 extension headers.
    pub options_or_extensions: bool,
    /// The upper layer.
    pub l4: L4,
}

/// The upper layer of an IP packet, as far as a flow key or the switch needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum L4 {
    /// A TCP segment.
    Tcp {
        /// Source port.
        sport: u16,
        /// Destination port.
        dport: u16,
        /// Control bits.
        flags: TcpFlags,
    },
    /// A UDP datagram.
    Udp {
        /// Source port.
        sport: u16,
        /// Destination port.
        dport: u16,
    },
    /// An ICMP echo request or reply.
    IcmpEcho {
        /// A request, not a reply.
        request: bool,
        /// The identifier that pairs the two.
        ident: u16,
    },
    /// An ICMP error that belongs to the flow of the packet it quotes: ICMPv4 unreachable, source
    /// quench, time exceeded and parameter problem; ICMPv6 types 1 to 4. Redirects are not among
    /// them.
    IcmpError {
        /// The quoted packet; `None` if too little of it was quoted, or if it is not one.
        inner: Option<InnerTuple>,
    },
    /// Any other ICMP message.
    IcmpOther {
        /// Its type.
        type_: u8,
        /// Its code.
        code: u8,
    },
    /// A neighbour solicitation, not fragmented (RFC 6980).
    NeighbourSolicit {
        /// The address asked for.
        target: core::net::Ipv6Addr,
    },
    /// A neighbour advertisement, not fragmented.
    NeighbourAdvert,
    /// A router solicitation, not fragmented.
    RouterSolicit,
    /// A protocol without ports or one that this crate does not read.
    Other,
    /// A fragment that does not carry the upper-layer header.
    NonFirstFragment,
}

/// The addresses and ports of a packet quoted in an ICMP error, as that packet had them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InnerTuple {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Protocol after any extension headers.
    pub proto: u8,
    /// Ports or identifier.
    pub l4: InnerL4,
    /// Where the quoted IP header begins, in bytes from the start of the frame.
    pub l3_offset: usize,
    /// Where the quoted upper-layer header begins, in bytes from the start of the frame.
    pub l4_offset: usize,
}

/// Ports or identifier of a quoted packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InnerL4 {
    /// TCP or UDP.
    Ports {
        /// Source port.
        sport: u16,
        /// Destination port.
        dport: u16,
    },
    /// ICMP echo.
    Echo {
        /// A request, not a reply.
        request: bool,
        /// The identifier.
        ident: u16,
    },
    /// A protocol without either.
    Other,
}

/// Reads an Ethernet frame: all lengths, the IPv4 header checksum, the extension header chain, and
/// enough of the upper layer for a flow key. Padding past the IP packet is legal.
///
/// Not checked here: whether addresses make sense, and upper-layer checksums, which guests often
/// leave to the device; see [`crate::checksum::verify_l4`].
#[inline]
pub fn dissect(frame: &[u8]) -> Result<Dissection, DissectError> {
    let ethernet = EthernetView::new(frame)?;
    let kind = match ethernet.ethertype() {
        EtherType::IPV4 => Kind::Ip(dissect_ipv4(ethernet.payload(), ETHERNET_LEN)?),
        EtherType::IPV6 => Kind::Ip(dissect_ipv6(ethernet.payload(), ETHERNET_LEN)?),
        EtherType::ARP => Kind::Arp,
        ethertype => Kind::Other { ethertype },
    };
    Ok(Dissection {
        dst: ethernet.dst(),
        src: ethernet.src(),
        kind,
    })
}

#[inline]
fn dissect_ipv4(bytes: &[u8], l3_offset: usize) -> Result<IpPacket, ParseError> {
    let view = Ipv4View::new(bytes)?;
    if !view.checksum_ok() {
        return Err(ParseError::BadChecksum {
            header: Header::Ipv4,
        });
    }
    let (proto, payload) = (view.protocol(), view.payload());
    let payload_max = usize::from(u16::MAX) - view.header_len();
    let fragment = check_fragment(view.fragment(), proto, payload.len(), payload_max)?;
    let l4_offset = l3_offset + view.header_len();
    Ok(IpPacket {
        family: Family::V4,
        src: view.src().into(),
        dst: view.dst().into(),
        proto,
        ttl: view.ttl(),
        dscp_ecn: view.dscp_ecn(),
        l3_offset,
        l4_offset,
        l3_len: view.total_len(),
        fragment,
        dont_fragment: view.dont_fragment(),
        options_or_extensions: !view.options().is_empty(),
        l4: transport::read(Family::V4, proto, payload, fragment, l4_offset)?,
    })
}

#[inline]
fn dissect_ipv6(bytes: &[u8], l3_offset: usize) -> Result<IpPacket, ParseError> {
    let view = Ipv6View::new(bytes)?;
    let extensions = walk_extensions(view.next_header(), view.payload())?;
    let proto = extensions.proto;
    let payload = &view.payload()[extensions.len..];
    let payload_max = usize::from(u16::MAX);
    let fragment = check_fragment(extensions.fragment, proto, payload.len(), payload_max)?;
    let l4_offset = l3_offset + ipv6::HEADER_LEN + extensions.len;
    Ok(IpPacket {
        family: Family::V6,
        src: view.src().into(),
        dst: view.dst().into(),
        proto,
        ttl: view.hop_limit(),
        dscp_ecn: view.traffic_class(),
        l3_offset,
        l4_offset,
        l3_len: ipv6::HEADER_LEN + view.payload_len(),
        fragment,
        dont_fragment: true,
        options_or_extensions: extensions.len > 0,
        l4: transport::read(Family::V6, proto, payload, fragment, l4_offset)?,
    })
}

fn check_fragment(
    fragment: Option<Fragment>,
    proto: u8,
    payload_len: usize,
    payload_max: usize,
) -> Result<Option<Fragment>, ParseError> {
    fragment
        .map(|fragment| fragment.check(proto, payload_len, payload_max))
        .transpose()
}

#[cfg(test)]
mod tests;
