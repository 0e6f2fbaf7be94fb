use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wire::Family;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, transmute};

/// A switch port: one guest NIC on this host, or [`PortId::UPLINK`]. Zero is no port.
///
/// At most [`PortId::MAX`] guests, because an exception carries its port in the twelve bits of a
/// VLAN tag (IEEE 802.1Q, 9.6), of which 0 and 4095 are reserved.
///
/// In a flow key the port of a frame that came off the uplink is that of the NIC it is for, marked
/// ([`PortId::from_uplink`]): the tunnel says who may receive, as in DASH (SEMANTICS D2), and two
/// networks with the same addresses stay apart.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(transparent)]
pub struct PortId(pub u16);

/// What marks the port of a frame that came off the uplink. No port number reaches it.
const FROM_UPLINK: u16 = 1 << 15;

impl PortId {
    /// The largest port number of a guest.
    pub const MAX: PortId = PortId(4093);

    /// The uplink: where frames to and from other hosts pass.
    pub const UPLINK: PortId = PortId(4094);

    /// The port in the key of a frame that came off the uplink for the guest behind `self`.
    pub const fn from_uplink(self) -> PortId {
        PortId(self.0 | FROM_UPLINK)
    }

    /// Whether a key with this port is that of a frame that came off the uplink.
    pub const fn is_from_uplink(self) -> bool {
        self.0 & FROM_UPLINK != 0
    }

    /// The guest's port, without the mark.
    pub const fn guest(self) -> PortId {
        PortId(self.0 & !FROM_UPLINK)
    }
}

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            PortId::UPLINK => f.write_str("uplink"),
            port if port.is_from_uplink() => write!(f, "uplink to port {}", port.guest().0),
            PortId(number) => write!(f, "port {number}"),
        }
    }
}

/// The exact key of one direction of a connection: the port the frame came from and its tuple as
/// the guest wrote it.
///
/// The layout is shared with the kernel program: 40 bytes, no padding. An IPv4 address sits in the
/// first four bytes of its field and the rest is zero. L4 ports are in network order.
/// For an ICMP echo the source port is the identifier and the destination port holds type and code,
/// so that a request and its reply have different keys. Other protocols have zero ports.
#[derive(Clone, Copy, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FlowKey {
    src: [u8; 16],
    dst: [u8; 16],
    source_port: [u8; 2],
    destination_port: [u8; 2],
    protocol: u8,
    family: u8,
    port: PortId,
}

const _: () = assert!(size_of::<FlowKey>() == 40 && align_of::<FlowKey>() == 2);

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

impl FlowKey {
    /// The key of a frame that `port` sent. `src` and `dst` must be of one family: a packet cannot
    /// be otherwise, and a mixed pair would give a key that matches nothing.
    pub fn new(
        port: PortId,
        src: IpAddr,
        dst: IpAddr,
        protocol: u8,
        source_port: u16,
        destination_port: u16,
    ) -> FlowKey {
        debug_assert_eq!(src.is_ipv4(), dst.is_ipv4());
        FlowKey {
            src: octets(src),
            dst: octets(dst),
            source_port: source_port.to_be_bytes(),
            destination_port: destination_port.to_be_bytes(),
            protocol,
            family: if src.is_ipv4() { 4 } else { 6 },
            port,
        }
    }

    /// The key of an IPv4 packet that `port` sent: source and destination address side by side and
    /// both L4 ports, as in its headers.
    #[inline]
    pub fn of_ipv4(port: PortId, addresses: &[u8; 8], protocol: u8, ports: [u8; 4]) -> FlowKey {
        let [a, b, c, d, e, f, g, h] = *addresses;
        let word = |bytes| u64::from_ne_bytes(bytes);
        FlowKey::of_words([
            word([a, b, c, d, 0, 0, 0, 0]),
            0,
            word([e, f, g, h, 0, 0, 0, 0]),
            0,
            last_word(port, protocol, 4, ports),
        ])
    }

    /// The key of an IPv6 packet, likewise.
    #[inline]
    pub fn of_ipv6(port: PortId, addresses: &[u8; 32], protocol: u8, ports: [u8; 4]) -> FlowKey {
        let [a, b, c, d]: [u64; 4] = transmute!(*addresses);
        FlowKey::of_words([a, b, c, d, last_word(port, protocol, 6, ports)])
    }

    /// All of it, in words as they lie in memory: what is hashed and compared on the fast path.
    #[inline]
    pub(crate) fn words(&self) -> [u64; 5] {
        transmute!(*self)
    }

    #[inline]
    pub(crate) fn of_words(words: [u64; 5]) -> FlowKey {
        transmute!(words)
    }

    /// The port the frame came from; marked ([`PortId::from_uplink`]) where that is the uplink.
    pub fn port(&self) -> PortId {
        self.port
    }

    /// The guest port the flow belongs to: what it is counted and limited for.
    pub fn owner(&self) -> PortId {
        self.port.guest()
    }

    /// Whether the addresses are of IPv4.
    #[inline]
    pub(crate) fn is_ipv4(&self) -> bool {
        self.family == 4
    }

    /// The family of both addresses.
    pub fn family(&self) -> Family {
        if self.is_ipv4() {
            Family::V4
        } else {
            Family::V6
        }
    }

    /// The source address.
    pub fn src(&self) -> IpAddr {
        self.address(&self.src)
    }

    /// The destination address.
    pub fn dst(&self) -> IpAddr {
        self.address(&self.dst)
    }

    /// The IP protocol number.
    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    /// The source port, or an echo's identifier, or zero.
    pub fn source_port(&self) -> u16 {
        u16::from_be_bytes(self.source_port)
    }

    /// The destination port, or an echo's type and code, or zero.
    pub fn destination_port(&self) -> u16 {
        u16::from_be_bytes(self.destination_port)
    }

    /// Whether this is the key of an ICMP or ICMPv6 message.
    pub fn is_icmp(&self) -> bool {
        matches!((self.family, self.protocol), (4, ICMP) | (6, ICMPV6))
    }

    /// The key under which the answer to this packet arrives from `port`.
    pub fn reversed_at(&self, port: PortId) -> FlowKey {
        let (source_port, destination_port) = if self.is_icmp() {
            (self.source_port, self.answering_type())
        } else {
            (self.destination_port, self.source_port)
        };
        FlowKey {
            src: self.dst,
            dst: self.src,
            source_port,
            destination_port,
            port,
            ..*self
        }
    }

    /// A number that is the same for all packets of the flow and spread over all flows: whatever
    /// balances load by it keeps a flow's packets in order. It has no secret and is no defence.
    #[inline]
    pub fn entropy(&self) -> u64 {
        /// Digits of pi; any bits without a pattern do.
        const SALT: [u64; 5] = [
            0x243f_6a88_85a3_08d3,
            0x1319_8a2e_0370_7344,
            0xa409_3822_299f_31d0,
            0x082e_fa98_ec4e_6c89,
            0x4528_21e6_38d0_1377,
        ];
        let word = |at: usize| {
            let bytes = self.as_bytes()[at * 8..].first_chunk();
            u64::from_le_bytes(*bytes.unwrap_or(&[0; 8])) ^ SALT[at]
        };
        let fold = |a: u64, b: u64| {
            const LOW: u128 = u64::MAX as u128;
            let product = u128::from(a) * u128::from(b);
            (product & LOW) as u64 ^ (product >> 64) as u64
        };
        // Where the packet came from is no part of the flow as the underlay sees it.
        let tail = word(4) & !(0xffff << 48);
        fold(fold(word(0), word(1)) ^ fold(word(2), word(3)), tail)
    }

    /// The same tuple sent by another port.
    pub fn at(&self, port: PortId) -> FlowKey {
        FlowKey { port, ..*self }
    }

    /// Echo request and reply answer each other (RFC 792; RFC 4443, 4.1 and 4.2); nothing else
    /// does, and stays as it is.
    fn answering_type(&self) -> [u8; 2] {
        let [kind, code] = self.destination_port;
        match (self.family, kind) {
            (4, 8) => [0, code],
            (4, 0) => [8, code],
            (6, 128) => [129, code],
            (6, 129) => [128, code],
            _ => self.destination_port,
        }
    }

    fn address(&self, field: &[u8; 16]) -> IpAddr {
        match self.family() {
            Family::V4 => IpAddr::V4(Ipv4Addr::new(field[0], field[1], field[2], field[3])),
            Family::V6 => IpAddr::V6(Ipv6Addr::from(*field)),
        }
    }
}

impl fmt::Debug for FlowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self}", self.port)
    }
}

/// As `explain` reads it: `tcp 10.0.1.4:40000 -> 10.0.2.4:443`.
impl fmt::Display for FlowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (src, dst) = (self.src(), self.dst());
        if self.is_icmp() {
            let [kind, code] = self.destination_port;
            let ident = self.source_port();
            return write!(f, "icmp {src} -> {dst} type {kind} code {code} id {ident}");
        }
        let (sport, dport) = (self.source_port(), self.destination_port());
        match self.protocol {
            6 | 17 => {
                let name = if self.protocol == 6 { "tcp" } else { "udp" };
                let from = std::net::SocketAddr::new(src, sport);
                let to = std::net::SocketAddr::new(dst, dport);
                write!(f, "{name} {from} -> {to}")
            }
            50 => write!(f, "esp {src} -> {dst}"),
            51 => write!(f, "ah {src} -> {dst}"),
            other => write!(f, "proto-{other} {src} -> {dst}"),
        }
    }
}

/// The last eight bytes of a key, from the ports on.
#[inline]
fn last_word(port: PortId, protocol: u8, family: u8, ports: [u8; 4]) -> u64 {
    let ports = u32::from_le_bytes(ports);
    let port = u16::from_le_bytes(port.0.to_ne_bytes());
    let word = u64::from(ports)
        | u64::from(protocol) << 32
        | u64::from(family) << 40
        | u64::from(port) << 48;
    word.to_le()
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => {
            let mut field = [0; 16];
            field[..4].copy_from_slice(&v4.octets());
            field
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}

#[cfg(test)]
mod tests;
