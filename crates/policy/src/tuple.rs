use std::net::{IpAddr, Ipv4Addr};

use flow::FlowKey;

/// What rules look at: the addresses, protocol and ports of the packet that opens a connection.
///
/// Ports count for TCP and UDP only; whatever they are otherwise, rules ignore them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// The sender's address.
    pub src: IpAddr,
    /// The receiver's address.
    pub dst: IpAddr,
    /// The IP protocol number.
    pub protocol: u8,
    /// The sender's port.
    pub source_port: u16,
    /// The receiver's port.
    pub destination_port: u16,
}

/// The platform's own addresses: DNS, DHCP and health probes; instance metadata (SEMANTICS part 1,
/// D, "Platform").
const PLATFORM: [Ipv4Addr; 2] = [
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(169, 254, 169, 254),
];

const TCP: u8 = 6;
const UDP: u8 = 17;

impl Tuple {
    /// Whether rules may look at the ports.
    #[inline]
    pub(crate) fn has_ports(&self) -> bool {
        // Without a branch: which of the two it is, is as random as the packets.
        (self.protocol == TCP) | (self.protocol == UDP)
    }

    /// Whether either side is an address of the platform.
    #[inline]
    pub(crate) fn is_platform(&self) -> bool {
        let is = |address: IpAddr| match address {
            IpAddr::V4(v4) => (v4 == PLATFORM[0]) | (v4 == PLATFORM[1]),
            IpAddr::V6(_) => false,
        };
        is(self.src) | is(self.dst)
    }
}

impl From<&FlowKey> for Tuple {
    fn from(key: &FlowKey) -> Tuple {
        Tuple {
            src: key.src(),
            dst: key.dst(),
            protocol: key.protocol(),
            source_port: key.source_port(),
            destination_port: key.destination_port(),
        }
    }
}
