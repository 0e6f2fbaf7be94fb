//! DHCP for IPv6 (RFC 8415): messages as a server reads and writes them.

mod writer;

use core::net::Ipv6Addr;

use crate::{
    Header, ParseError,
    octets::{array_at, u16_at, u32_at},
};

pub use writer::Dhcpv6Writer;

/// The UDP port of servers and relays.
pub const SERVER_PORT: u16 = 547;
/// The UDP port of clients.
pub const CLIENT_PORT: u16 = 546;
/// All servers and relays on the link.
pub const ALL_AGENTS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
/// Bytes before the options.
pub const HEADER_LEN: usize = 4;

/// Bytes before the options of an IA_NA or an IA_PD.
const ASSOCIATION_LEN: usize = 12;
/// Bytes before the options of an address.
const ADDRESS_LEN: usize = 24;

/// Message types (RFC 8415 section 7.3).
pub mod message {
    /// Client: who has addresses?
    pub const SOLICIT: u8 = 1;
    /// Server: I have.
    pub const ADVERTISE: u8 = 2;
    /// Client: I would like those.
    pub const REQUEST: u8 = 3;
    /// Client: are these right for this link?
    pub const CONFIRM: u8 = 4;
    /// Client to its server: may I go on with these?
    pub const RENEW: u8 = 5;
    /// Client to any server: may I go on with these?
    pub const REBIND: u8 = 6;
    /// Server: so it is.
    pub const REPLY: u8 = 7;
    /// Client: I do not need these any more.
    pub const RELEASE: u8 = 8;
    /// Client: somebody else has these.
    pub const DECLINE: u8 = 9;
    /// Client: what else is there to know?
    pub const INFORMATION_REQUEST: u8 = 11;
}

/// Option codes (RFC 8415 section 21, RFC 3646).
pub mod option {
    /// The client's DUID.
    pub const CLIENT_ID: u16 = 1;
    /// The server's DUID.
    pub const SERVER_ID: u16 = 2;
    /// An association of addresses.
    pub const IA_NA: u16 = 3;
    /// An association of temporary addresses.
    pub const IA_TA: u16 = 4;
    /// An address, within an association.
    pub const IA_ADDRESS: u16 = 5;
    /// Codes of the options the client would like.
    pub const OPTION_REQUEST: u16 = 6;
    /// How much a server would like to be chosen.
    pub const PREFERENCE: u16 = 7;
    /// What became of a request.
    pub const STATUS: u16 = 13;
    /// Two messages will do instead of four.
    pub const RAPID_COMMIT: u16 = 14;
    /// Name servers.
    pub const DNS_SERVERS: u16 = 23;
    /// An association of prefixes.
    pub const IA_PD: u16 = 25;
}

/// What became of a request (RFC 8415 section 21.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Status {
    /// It was done.
    Success = 0,
    /// There are no addresses for this association.
    NoAddrsAvail = 2,
    /// The server knows nothing of the association.
    NoBinding = 3,
    /// The addresses are not right for this link.
    NotOnLink = 4,
    /// There are no prefixes for this association.
    NoPrefixAvail = 6,
}

/// A message whose options are well formed.
#[derive(Clone, Copy, Debug)]
pub struct Dhcpv6View<'a> {
    fixed: &'a [u8; HEADER_LEN],
    options: Dhcpv6Options<'a>,
}

impl<'a> Dhcpv6View<'a> {
    /// Checks the length and walks the options, but not those inside of options. Messages between
    /// relays and servers have another form; they are told by their type.
    pub fn new(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (fixed, options) = head(bytes)?;
        Ok(Self {
            fixed,
            options: Dhcpv6Options::new(options)?,
        })
    }

    /// Message type; see [`message`].
    #[must_use]
    pub fn message_type(&self) -> u8 {
        self.fixed[0]
    }

    /// The transaction's identifier.
    #[must_use]
    pub fn transaction(&self) -> [u8; 3] {
        array_at(self.fixed, 1)
    }

    /// The options.
    #[must_use]
    pub fn options(&self) -> Dhcpv6Options<'a> {
        self.options
    }

    /// Whether the client asks for an option.
    #[must_use]
    pub fn wants(&self, code: u16) -> bool {
        let list = self.options.first(option::OPTION_REQUEST).unwrap_or(&[]);
        list.chunks_exact(2).any(|pair| u16_at(pair, 0) == code)
    }
}

/// Options that are well formed; iterates over codes and values.
#[derive(Clone, Copy, Debug)]
pub struct Dhcpv6Options<'a>(&'a [u8]);

impl<'a> Dhcpv6Options<'a> {
    /// Walks them once.
    pub fn new(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (head, value) = head::<4>(rest)?;
            let need = usize::from(u16_at(head, 2));
            rest = value.get(need..).ok_or(truncated(need, value.len()))?;
        }
        Ok(Self(bytes))
    }

    /// The value of the first option with this code.
    #[must_use]
    pub fn first(mut self, code: u16) -> Option<&'a [u8]> {
        self.find(|(found, _)| *found == code)
            .map(|(_, value)| value)
    }
}

impl<'a> Iterator for Dhcpv6Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (head, rest) = self.0.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_at_checked(usize::from(u16_at(head, 2)))?;
        self.0 = rest;
        Some((u16_at(head, 0), value))
    }
}

/// An association of addresses or prefixes: the value of an IA_NA or an IA_PD.
#[derive(Clone, Copy, Debug)]
pub struct Association<'a> {
    /// The identifier the client gave it.
    pub id: u32,
    options: Dhcpv6Options<'a>,
}

impl<'a> Association<'a> {
    /// Checks the length and walks the options.
    pub fn parse(value: &'a [u8]) -> Result<Self, ParseError> {
        let (fixed, options) = head::<ASSOCIATION_LEN>(value)?;
        Ok(Self {
            id: u32_at(fixed, 0),
            options: Dhcpv6Options::new(options)?,
        })
    }

    /// The addresses in it; options too short to be one are left out.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv6Addr> + use<'a> {
        self.options
            .filter(|(code, value)| *code == option::IA_ADDRESS && value.len() >= ADDRESS_LEN)
            .map(|(_, value)| Ipv6Addr::from(array_at::<16>(value, 0)))
    }
}

fn head<const N: usize>(bytes: &[u8]) -> Result<(&[u8; N], &[u8]), ParseError> {
    bytes.split_first_chunk().ok_or(truncated(N, bytes.len()))
}

fn truncated(need: usize, have: usize) -> ParseError {
    ParseError::Truncated {
        header: Header::Dhcpv6,
        need,
        have,
    }
}

#[cfg(test)]
mod tests;
