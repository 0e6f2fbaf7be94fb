//! Address resolution for IPv4 over Ethernet (RFC 826).

use core::net::Ipv4Addr;

use crate::{
    EmitError, Header, MacAddr, ParseError,
    error::room,
    octets::{array_at, put, put_u16, u16_at},
};

/// Bytes in an ARP packet for IPv4 over Ethernet.
pub const PACKET_LEN: usize = 28;

const HARDWARE_ETHERNET: u16 = 1;
const PROTOCOL_IPV4: u16 = 0x0800;

/// An ARP packet whose hardware is Ethernet and whose protocol is IPv4.
#[derive(Clone, Copy, Debug)]
pub struct ArpView<'a> {
    fixed: &'a [u8; PACKET_LEN],
}

impl<'a> ArpView<'a> {
    /// Checks the length, the address families and their lengths; padding may follow.
    pub fn new(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let fixed: &[u8; PACKET_LEN] = bytes.first_chunk().ok_or(ParseError::Truncated {
            header: Header::Arp,
            need: PACKET_LEN,
            have: bytes.len(),
        })?;
        let expected = [
            ("hardware type", u16_at(fixed, 0), HARDWARE_ETHERNET),
            ("protocol type", u16_at(fixed, 2), PROTOCOL_IPV4),
            ("address lengths", u16_at(fixed, 4), 0x0604),
        ];
        for (field, found, wanted) in expected {
            if found != wanted {
                let value = u32::from(found);
                return Err(ParseError::BadField {
                    header: Header::Arp,
                    field,
                    value,
                });
            }
        }
        Ok(Self { fixed })
    }

    /// The operation as found.
    #[must_use]
    pub fn operation(&self) -> u16 {
        u16_at(self.fixed, 6)
    }

    /// Ethernet address of the sender.
    #[must_use]
    pub fn sender_mac(&self) -> MacAddr {
        MacAddr(array_at(self.fixed, 8))
    }

    /// IPv4 address of the sender; unspecified in a probe (RFC 5227).
    #[must_use]
    pub fn sender_ip(&self) -> Ipv4Addr {
        array_at::<4>(self.fixed, 14).into()
    }

    /// Ethernet address of the target; meaningless in a request.
    #[must_use]
    pub fn target_mac(&self) -> MacAddr {
        MacAddr(array_at(self.fixed, 18))
    }

    /// IPv4 address of the target.
    #[must_use]
    pub fn target_ip(&self) -> Ipv4Addr {
        array_at::<4>(self.fixed, 24).into()
    }
}

/// What an ARP packet wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArpOperation {
    /// Who has the target address?
    Request,
    /// The sender address is at the sender's Ethernet address.
    Reply,
}

/// An ARP request or reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpRepr {
    /// Request or reply.
    pub operation: ArpOperation,
    /// Ethernet address of the sender.
    pub sender_mac: MacAddr,
    /// IPv4 address of the sender.
    pub sender_ip: Ipv4Addr,
    /// Ethernet address of the target; zero in a request.
    pub target_mac: MacAddr,
    /// IPv4 address of the target.
    pub target_ip: Ipv4Addr,
}

impl ArpRepr {
    /// Reads a view; operations other than request and reply are refused.
    pub fn parse(view: ArpView<'_>) -> Result<Self, ParseError> {
        let operation = match view.operation() {
            1 => ArpOperation::Request,
            2 => ArpOperation::Reply,
            other => {
                let value = u32::from(other);
                return Err(ParseError::BadField {
                    header: Header::Arp,
                    field: "operation",
                    value,
                });
            }
        };
        Ok(Self {
            operation,
            sender_mac: view.sender_mac(),
            sender_ip: view.sender_ip(),
            target_mac: view.target_mac(),
            target_ip: view.target_ip(),
        })
    }

    /// Bytes [`Self::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        PACKET_LEN
    }

    /// Writes the packet at the start of `out` and returns its length.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let out = room(out, PACKET_LEN)?;
        put_u16(out, 0, HARDWARE_ETHERNET);
        put_u16(out, 2, PROTOCOL_IPV4);
        put_u16(out, 4, 0x0604);
        let operation = match self.operation {
            ArpOperation::Request => 1,
            ArpOperation::Reply => 2,
        };
        put_u16(out, 6, operation);
        put(out, 8, &self.sender_mac.0);
        put(out, 14, &self.sender_ip.octets());
        put(out, 18, &self.target_mac.0);
        put(out, 24, &self.target_ip.octets());
        Ok(PACKET_LEN)
    }
}
