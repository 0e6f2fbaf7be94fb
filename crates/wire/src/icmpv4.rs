//! ICMP for IPv4 (RFC 792, RFC 1191).

use crate::{
    EmitError, Header, ParseError,
    error::room,
    octets::{put_u16, u16_at},
};

/// Bytes in the header; every message has at least these.
pub const HEADER_LEN: usize = 8;
/// Offset of the checksum.
pub const CHECKSUM_AT: usize = 2;

/// Message types.
pub mod message {
    /// Answer to an echo request.
    pub const ECHO_REPLY: u8 = 0;
    /// A packet could not be delivered.
    pub const UNREACHABLE: u8 = 3;
    /// Slow down; obsolete (RFC 6633) yet still an error about a packet.
    pub const SOURCE_QUENCH: u8 = 4;
    /// There is a better first hop: advice, not an error.
    pub const REDIRECT: u8 = 5;
    /// Please answer.
    pub const ECHO_REQUEST: u8 = 8;
    /// A packet lived too long.
    pub const TIME_EXCEEDED: u8 = 11;
    /// A packet's header was not understood.
    pub const PARAMETER_PROBLEM: u8 = 12;
}

/// A message whose header is whole.
#[derive(Clone, Copy, Debug)]
pub struct Icmpv4View<'a> {
    fixed: &'a [u8; HEADER_LEN],
    payload: &'a [u8],
}

impl<'a> Icmpv4View<'a> {
    /// Checks the length.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (fixed, payload) = bytes.split_first_chunk().ok_or(ParseError::Truncated {
            header: Header::Icmpv4,
            need: HEADER_LEN,
            have: bytes.len(),
        })?;
        Ok(Self { fixed, payload })
    }

    /// Message type; see [`message`].
    #[inline]
    #[must_use]
    pub fn message_type(&self) -> u8 {
        self.fixed[0]
    }

    /// Code within the type.
    #[inline]
    #[must_use]
    pub fn code(&self) -> u8 {
        self.fixed[1]
    }

    /// Bytes 4 and 5: the identifier of an echo.
    #[inline]
    #[must_use]
    pub fn ident(&self) -> u16 {
        u16_at(self.fixed, 4)
    }

    /// Bytes 6 and 7: the sequence number of an echo, the next-hop MTU of "fragmentation needed".
    #[inline]
    #[must_use]
    pub fn sequence(&self) -> u16 {
        u16_at(self.fixed, 6)
    }

    /// This reports on a packet and quotes it. Redirects quote one too, but belong to no flow.
    #[inline]
    #[must_use]
    pub fn is_error(&self) -> bool {
        matches!(
            self.message_type(),
            message::UNREACHABLE
                | message::SOURCE_QUENCH
                | message::TIME_EXCEEDED
                | message::PARAMETER_PROBLEM
        )
    }

    /// What follows the header: echo data, or the quoted packet.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// Why a packet could not be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// No route to the network.
    Network,
    /// The host does not answer.
    Host,
    /// The host does not speak the protocol.
    Protocol,
    /// Nothing listens on the port.
    Port,
    /// The packet does not fit the next link and may not be fragmented (RFC 1191).
    FragmentationNeeded {
        /// What fits, in bytes of IP packet; zero from routers older than RFC 1191.
        mtu: u16,
    },
    /// The source route is broken.
    SourceRouteFailed,
    /// The network is prohibited.
    NetworkProhibited,
    /// The host is prohibited.
    HostProhibited,
    /// A policy forbids it (RFC 1812 section 5.2.7.1).
    Prohibited,
}

impl Unreachable {
    fn parts(self) -> (u8, u16) {
        match self {
            Self::Network => (0, 0),
            Self::Host => (1, 0),
            Self::Protocol => (2, 0),
            Self::Port => (3, 0),
            Self::FragmentationNeeded { mtu } => (4, mtu),
            Self::SourceRouteFailed => (5, 0),
            Self::NetworkProhibited => (9, 0),
            Self::HostProhibited => (10, 0),
            Self::Prohibited => (13, 0),
        }
    }

    fn from_parts(code: u8, mtu: u16) -> Option<Self> {
        Some(match code {
            0 => Self::Network,
            1 => Self::Host,
            2 => Self::Protocol,
            3 => Self::Port,
            4 => Self::FragmentationNeeded { mtu },
            5 => Self::SourceRouteFailed,
            9 => Self::NetworkProhibited,
            10 => Self::HostProhibited,
            13 => Self::Prohibited,
            _ => return None,
        })
    }
}

/// The header of a message this crate understands; echo data or the quoted packet follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icmpv4Repr {
    /// Please answer.
    EchoRequest {
        /// Chosen by the asker.
        ident: u16,
        /// Counts requests.
        sequence: u16,
    },
    /// The answer.
    EchoReply {
        /// As in the request.
        ident: u16,
        /// As in the request.
        sequence: u16,
    },
    /// The quoted packet was not delivered.
    Unreachable(Unreachable),
    /// The quoted packet's time to live ran out in transit.
    HopLimitExceeded,
    /// The quoted packet's other fragments did not come in time.
    ReassemblyTimeExceeded,
}

impl Icmpv4Repr {
    /// Reads a view; other messages are refused by the field that is unknown.
    pub fn parse(view: Icmpv4View<'_>) -> Result<Self, ParseError> {
        let (message_type, code) = (view.message_type(), view.code());
        let bad = |field, value| ParseError::BadField {
            header: Header::Icmpv4,
            field,
            value: u32::from(value),
        };
        let (ident, sequence) = (view.ident(), view.sequence());
        match (message_type, code) {
            (message::ECHO_REQUEST, 0) => Ok(Self::EchoRequest { ident, sequence }),
            (message::ECHO_REPLY, 0) => Ok(Self::EchoReply { ident, sequence }),
            (message::UNREACHABLE, code) => Unreachable::from_parts(code, sequence)
                .map(Self::Unreachable)
                .ok_or_else(|| bad("code", code)),
            (message::TIME_EXCEEDED, 0) => Ok(Self::HopLimitExceeded),
            (message::TIME_EXCEEDED, 1) => Ok(Self::ReassemblyTimeExceeded),
            (message::ECHO_REQUEST | message::ECHO_REPLY | message::TIME_EXCEEDED, code) => {
                Err(bad("code", code))
            }
            (other, _) => Err(bad("type", other)),
        }
    }

    /// Bytes [`Self::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header at the start of `out` and returns its length. The checksum is zero until
    /// [`crate::checksum::fill_l4`] has seen the payload.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let (message_type, code, high, low) = match *self {
            Self::EchoRequest { ident, sequence } => (message::ECHO_REQUEST, 0, ident, sequence),
            Self::EchoReply { ident, sequence } => (message::ECHO_REPLY, 0, ident, sequence),
            Self::Unreachable(reason) => {
                let (code, mtu) = reason.parts();
                (message::UNREACHABLE, code, 0, mtu)
            }
            Self::HopLimitExceeded => (message::TIME_EXCEEDED, 0, 0, 0),
            Self::ReassemblyTimeExceeded => (message::TIME_EXCEEDED, 1, 0, 0),
        };
        let out = room(out, HEADER_LEN)?;
        out[0] = message_type;
        out[1] = code;
        put_u16(out, CHECKSUM_AT, 0);
        put_u16(out, 4, high);
        put_u16(out, 6, low);
        Ok(HEADER_LEN)
    }
}
