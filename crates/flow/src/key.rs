use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wire::Family;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A switch port: one guest NIC on this host. Zero is no port.
///
/// At most [`PortId::MAX`] of them, because an exception carries its port in the twelve bits of a
/// VLAN tag (IEEE 802.1Q, 9.6), of which 0 and 4095 are reserved.
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

impl PortId {
    /// The largest port number.
    pub const MAX: PortId = PortId(4094);
}

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port {}", self.0)
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

    /// The port the frame came from.
    pub fn port(&self) -> PortId {
        self.port
    }

    /// The family of both addresses.
    pub fn family(&self) -> Family {
        if self.family == 4 {
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
