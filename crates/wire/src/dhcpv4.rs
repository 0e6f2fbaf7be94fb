//! DHCP for IPv4 (RFC 2131, RFC 2132): messages as a server reads and writes them.

mod writer;

use core::net::Ipv4Addr;

use crate::{
    Header, MacAddr, ParseError,
    octets::{array_at, u16_at, u32_at},
};

pub use writer::{Dhcpv4Repr, Dhcpv4Writer};

/// The UDP port of servers.
pub const SERVER_PORT: u16 = 67;
/// The UDP port of clients.
pub const CLIENT_PORT: u16 = 68;
/// Bytes before the options: the fixed fields and the magic cookie.
pub const HEADER_LEN: usize = 240;
/// The IP packet every client takes (RFC 2131 section 2), in bytes.
pub const PACKET_LEN_MIN: u16 = 576;
/// Bytes of message below which some clients refuse an answer (RFC 1542 section 2.1).
pub const MESSAGE_LEN_MIN: usize = 300;

const SNAME: core::ops::Range<usize> = 44..108;
const FILE: core::ops::Range<usize> = 108..236;
const COOKIE_AT: usize = 236;
const COOKIE: u32 = 0x6382_5363;
const BROADCAST: u16 = 0x8000;
const ETHERNET: u8 = 1;

/// Option codes (IANA "BOOTP Vendor Extensions and DHCP Options").
pub mod option {
    /// Fills up.
    pub const PAD: u8 = 0;
    /// The mask of the client's subnet.
    pub const SUBNET_MASK: u8 = 1;
    /// Default routers.
    pub const ROUTER: u8 = 3;
    /// Name servers.
    pub const DNS_SERVERS: u8 = 6;
    /// The MTU of the client's interface.
    pub const INTERFACE_MTU: u8 = 26;
    /// The broadcast address of the client's subnet.
    pub const BROADCAST_ADDRESS: u8 = 28;
    /// The address the client would like.
    pub const REQUESTED_ADDRESS: u8 = 50;
    /// For how many seconds the address is the client's.
    pub const LEASE_TIME: u8 = 51;
    /// That options go on in the fields `file` (1), `sname` (2), or both (3).
    pub const OVERLOAD: u8 = 52;
    /// What the message is: [`super::MessageType`].
    pub const MESSAGE_TYPE: u8 = 53;
    /// The server's address, by which it is known.
    pub const SERVER_ID: u8 = 54;
    /// Codes of the options the client would like.
    pub const PARAMETER_LIST: u8 = 55;
    /// The longest message the client takes.
    pub const MAX_MESSAGE_SIZE: u8 = 57;
    /// Seconds until the client asks its server again.
    pub const RENEWAL_TIME: u8 = 58;
    /// Seconds until the client asks any server.
    pub const REBINDING_TIME: u8 = 59;
    /// What the client calls itself.
    pub const CLIENT_ID: u8 = 61;
    /// Routes with prefix lengths (RFC 3442).
    pub const CLASSLESS_ROUTES: u8 = 121;
    /// Nothing follows.
    pub const END: u8 = 255;
}

/// What a message is (RFC 2132 section 9.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum MessageType {
    /// Client: who has an address for me?
    Discover = 1,
    /// Server: I have.
    Offer = 2,
    /// Client: I would like that one, or go on with it.
    Request = 3,
    /// Client: somebody else has it.
    Decline = 4,
    /// Server: it is yours.
    Ack = 5,
    /// Server: it is not.
    Nak = 6,
    /// Client: I do not need it any more.
    Release = 7,
    /// Client: I have an address; what else is there to know?
    Inform = 8,
}

impl MessageType {
    fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Discover,
            2 => Self::Offer,
            3 => Self::Request,
            4 => Self::Decline,
            5 => Self::Ack,
            6 => Self::Nak,
            7 => Self::Release,
            8 => Self::Inform,
            _ => return None,
        })
    }
}

/// A message whose options are well formed, wherever they are.
#[derive(Clone, Copy, Debug)]
pub struct Dhcpv4View<'a> {
    fixed: &'a [u8; HEADER_LEN],
    options: &'a [u8],
    overload: u8,
}

impl<'a> Dhcpv4View<'a> {
    /// Checks length and cookie, and walks the options, those in overloaded fields as well.
    pub fn new(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let header = Header::Dhcpv4;
        let (fixed, options): (&[u8; HEADER_LEN], _) =
            bytes.split_first_chunk().ok_or(ParseError::Truncated {
                header,
                need: HEADER_LEN,
                have: bytes.len(),
            })?;
        let cookie = u32_at(fixed, COOKIE_AT);
        if cookie != COOKIE {
            return Err(ParseError::BadField {
                header,
                field: "magic cookie",
                value: cookie,
            });
        }
        let mut overload = 0;
        for option in Options(options) {
            let (code, value) = option?;
            if code == option::OVERLOAD {
                overload = match value {
                    [which @ 1..=3] => *which,
                    _ => {
                        return Err(ParseError::BadField {
                            header,
                            field: "option overload",
                            value: value.first().copied().unwrap_or(0).into(),
                        });
                    }
                };
            }
        }
        let view = Self {
            fixed,
            options,
            overload,
        };
        for area in &view.areas()[1..] {
            Options(area).try_for_each(|option| option.map(drop))?;
        }
        Ok(view)
    }

    /// Whether a client sent it, over Ethernet.
    #[must_use]
    pub fn is_ethernet_request(&self) -> bool {
        self.fixed[..3] == [1, ETHERNET, 6]
    }

    /// The transaction's identifier.
    #[must_use]
    pub fn xid(&self) -> u32 {
        u32_at(self.fixed, 4)
    }

    /// The client cannot receive unicasts yet.
    #[must_use]
    pub fn broadcast(&self) -> bool {
        u16_at(self.fixed, 10) & BROADCAST != 0
    }

    /// The address the client has, and answers ARP for.
    #[must_use]
    pub fn client_address(&self) -> Ipv4Addr {
        array_at::<4>(self.fixed, 12).into()
    }

    /// The address a server gives.
    #[must_use]
    pub fn your_address(&self) -> Ipv4Addr {
        array_at::<4>(self.fixed, 16).into()
    }

    /// The relay it came by, if any.
    #[must_use]
    pub fn relay(&self) -> Option<Ipv4Addr> {
        let relay = Ipv4Addr::from(array_at::<4>(self.fixed, 24));
        (!relay.is_unspecified()).then_some(relay)
    }

    /// The client's Ethernet address.
    #[must_use]
    pub fn client_mac(&self) -> MacAddr {
        MacAddr(array_at(self.fixed, 28))
    }

    /// What the message is; None without that option, which is BOOTP, or with an unknown one.
    #[must_use]
    pub fn message_type(&self) -> Option<MessageType> {
        match self.option(option::MESSAGE_TYPE)? {
            [number] => MessageType::from_number(*number),
            _ => None,
        }
    }

    /// The value of the first option with this code.
    #[must_use]
    pub fn option(&self, code: u8) -> Option<&'a [u8]> {
        let mut found = self.options().filter(|(found, _)| *found == code);
        found.next().map(|(_, value)| value)
    }

    /// An option that is one address.
    #[must_use]
    pub fn address_option(&self, code: u8) -> Option<Ipv4Addr> {
        let octets: [u8; 4] = self.option(code)?.try_into().ok()?;
        Some(octets.into())
    }

    /// An option that is one number of 16 bits.
    #[must_use]
    pub fn u16_option(&self, code: u8) -> Option<u16> {
        let octets: [u8; 2] = self.option(code)?.try_into().ok()?;
        Some(u16::from_be_bytes(octets))
    }

    /// Whether the client would like an option, or left it to the server.
    #[must_use]
    pub fn wants(&self, code: u8) -> bool {
        let mut lists = self
            .options()
            .filter(|(found, _)| *found == option::PARAMETER_LIST)
            .peekable();
        // A list may be split over several options (RFC 3396).
        lists.peek().is_none() || lists.any(|(_, list)| list.contains(&code))
    }

    /// Codes and values, in the order of RFC 2131 section 4.1: options, `file`, `sname`.
    pub fn options(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        self.areas()
            .into_iter()
            .flat_map(|area| Options(area).flatten())
    }

    fn areas(&self) -> [&'a [u8]; 3] {
        let area = |bit, range: core::ops::Range<usize>| {
            let bytes: &[u8] = self.fixed;
            if self.overload & bit != 0 {
                &bytes[range]
            } else {
                &[]
            }
        };
        [self.options, area(1, FILE), area(2, SNAME)]
    }
}

/// The options of one area, up to its end mark or its end.
struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = Result<(u8, &'a [u8]), ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match *self.0 {
                [] | [option::END, ..] => return None,
                [option::PAD, ref rest @ ..] => self.0 = rest,
                [code, ref rest @ ..] => {
                    let value = rest.split_first().and_then(|(len, rest)| {
                        let (value, rest) = rest.split_at_checked(usize::from(*len))?;
                        self.0 = rest;
                        Some(value)
                    });
                    return Some(match value {
                        Some(value) => Ok((code, value)),
                        None => {
                            let have = rest.len();
                            self.0 = &[];
                            Err(ParseError::Truncated {
                                header: Header::Dhcpv4,
                                need: 1 + usize::from(rest.first().copied().unwrap_or(0)),
                                have,
                            })
                        }
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
