//! ICMP for IPv6 (RFC 4443) with neighbour discovery (RFC 4861).

mod neighbour;
mod options;
mod router;

use core::net::Ipv6Addr;

use crate::{
    EmitError, Header, MacAddr, ParseError,
    error::room,
    octets::{put_u16, put_u32, u16_at, u32_at},
};

pub use neighbour::{NeighbourAdvertView, NeighbourSolicitView};
pub use router::{PrefixInformation, RouterAdvert, RouterAdvertWriter, RouterSolicitView};

/// Bytes in the header that all messages here share.
pub const HEADER_LEN: usize = 8;
/// Offset of the checksum.
pub const CHECKSUM_AT: usize = 2;

/// Message types.
pub mod message {
    /// A packet could not be delivered.
    pub const UNREACHABLE: u8 = 1;
    /// A packet does not fit the next link.
    pub const PACKET_TOO_BIG: u8 = 2;
    /// A packet lived too long.
    pub const TIME_EXCEEDED: u8 = 3;
    /// A packet's header was not understood.
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// Please answer.
    pub const ECHO_REQUEST: u8 = 128;
    /// Answer to an echo request.
    pub const ECHO_REPLY: u8 = 129;
    /// Routers, make yourselves known.
    pub const ROUTER_SOLICIT: u8 = 133;
    /// Here is a router, and what hosts on the link should know.
    pub const ROUTER_ADVERT: u8 = 134;
    /// Who has the target address?
    pub const NEIGHBOUR_SOLICIT: u8 = 135;
    /// The target address is here.
    pub const NEIGHBOUR_ADVERT: u8 = 136;
    /// There is a better first hop: advice, not an error.
    pub const REDIRECT: u8 = 137;
}

/// A message whose header is whole.
#[derive(Clone, Copy, Debug)]
pub struct Icmpv6View<'a> {
    fixed: &'a [u8; HEADER_LEN],
    payload: &'a [u8],
}

impl<'a> Icmpv6View<'a> {
    /// Checks the length. RFC 4443 fixes only four bytes of header, but each message a host or
    /// router may send has eight.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (fixed, payload) = bytes.split_first_chunk().ok_or(ParseError::Truncated {
            header: Header::Icmpv6,
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

    /// Bytes 4 to 7: MTU, pointer or flags.
    #[must_use]
    pub fn word(&self) -> u32 {
        u32_at(self.fixed, 4)
    }

    /// This reports on a packet and quotes it.
    #[inline]
    #[must_use]
    pub fn is_error(&self) -> bool {
        matches!(
            self.message_type(),
            message::UNREACHABLE..=message::PARAMETER_PROBLEM
        )
    }

    /// What follows the header: echo data, the quoted packet, or a target and options.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// Why a packet could not be delivered (RFC 4443 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Unreachable {
    /// No route to the destination.
    NoRoute = 0,
    /// A policy forbids it.
    Prohibited = 1,
    /// The destination is beyond the scope of the source address.
    BeyondScope = 2,
    /// The host does not answer.
    Address = 3,
    /// Nothing listens on the port.
    Port = 4,
    /// The source address failed a policy.
    SourcePolicy = 5,
    /// The route rejects it.
    RejectRoute = 6,
}

impl Unreachable {
    fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::NoRoute,
            1 => Self::Prohibited,
            2 => Self::BeyondScope,
            3 => Self::Address,
            4 => Self::Port,
            5 => Self::SourcePolicy,
            6 => Self::RejectRoute,
            _ => return None,
        })
    }
}

/// A message this crate understands, without the echo data or quoted packet that may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icmpv6Repr {
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
    /// The quoted packet does not fit the next link.
    PacketTooBig {
        /// What fits, in bytes of IP packet.
        mtu: u32,
    },
    /// The quoted packet's hop limit ran out in transit.
    HopLimitExceeded,
    /// The quoted packet's other fragments did not come in time.
    ReassemblyTimeExceeded,
    /// Who has `target`?
    NeighbourSolicit {
        /// The address asked for.
        target: Ipv6Addr,
        /// The asker's Ethernet address; absent in duplicate address detection.
        source_mac: Option<MacAddr>,
    },
    /// `target` is here.
    NeighbourAdvert {
        /// The address answered for.
        target: Ipv6Addr,
        /// The sender is a router.
        router: bool,
        /// This answers a solicitation.
        solicited: bool,
        /// Replace what you had cached.
        overrides: bool,
        /// The Ethernet address of the target.
        target_mac: Option<MacAddr>,
    },
}

impl Icmpv6Repr {
    /// Reads a view; other messages are refused by the field that is unknown.
    pub fn parse(view: Icmpv6View<'_>) -> Result<Self, ParseError> {
        let (message_type, code) = (view.message_type(), view.code());
        let bad = |field, value| ParseError::BadField {
            header: Header::Icmpv6,
            field,
            value: u32::from(value),
        };
        let (ident, sequence) = (view.ident(), u16_at(view.fixed, 6));
        match (message_type, code) {
            (message::ECHO_REQUEST, 0) => Ok(Self::EchoRequest { ident, sequence }),
            (message::ECHO_REPLY, 0) => Ok(Self::EchoReply { ident, sequence }),
            (message::UNREACHABLE, code) => Unreachable::from_code(code)
                .map(Self::Unreachable)
                .ok_or_else(|| bad("code", code)),
            (message::PACKET_TOO_BIG, _) => Ok(Self::PacketTooBig { mtu: view.word() }),
            (message::TIME_EXCEEDED, 0) => Ok(Self::HopLimitExceeded),
            (message::TIME_EXCEEDED, 1) => Ok(Self::ReassemblyTimeExceeded),
            (message::NEIGHBOUR_SOLICIT, 0) => {
                let solicit = NeighbourSolicitView::new(view)?;
                let source_mac = solicit.source_mac();
                Ok(Self::NeighbourSolicit {
                    target: solicit.target(),
                    source_mac,
                })
            }
            (message::NEIGHBOUR_ADVERT, 0) => {
                let advert = NeighbourAdvertView::new(view)?;
                Ok(Self::NeighbourAdvert {
                    target: advert.target(),
                    router: advert.router(),
                    solicited: advert.solicited(),
                    overrides: advert.overrides(),
                    target_mac: advert.target_mac(),
                })
            }
            (
                message::ECHO_REQUEST
                | message::ECHO_REPLY
                | message::TIME_EXCEEDED
                | message::NEIGHBOUR_SOLICIT
                | message::NEIGHBOUR_ADVERT,
                code,
            ) => Err(bad("code", code)),
            (other, _) => Err(bad("type", other)),
        }
    }

    /// Bytes [`Self::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        match self {
            Self::NeighbourSolicit { source_mac, .. } => neighbour::message_len(*source_mac),
            Self::NeighbourAdvert { target_mac, .. } => neighbour::message_len(*target_mac),
            _ => HEADER_LEN,
        }
    }

    /// Writes the message at the start of `out` and returns its length. The checksum is zero until
    /// [`crate::checksum::fill_l4`] has seen the payload.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let len = self.buffer_len();
        let echo = |ident, sequence| u32::from(ident) << 16 | u32::from(sequence);
        let (message_type, code, word) = match *self {
            Self::EchoRequest { ident, sequence } => {
                (message::ECHO_REQUEST, 0, echo(ident, sequence))
            }
            Self::EchoReply { ident, sequence } => (message::ECHO_REPLY, 0, echo(ident, sequence)),
            Self::Unreachable(reason) => (message::UNREACHABLE, reason as u8, 0),
            Self::PacketTooBig { mtu } => (message::PACKET_TOO_BIG, 0, mtu),
            Self::HopLimitExceeded => (message::TIME_EXCEEDED, 0, 0),
            Self::ReassemblyTimeExceeded => (message::TIME_EXCEEDED, 1, 0),
            Self::NeighbourSolicit { .. } => (message::NEIGHBOUR_SOLICIT, 0, 0),
            Self::NeighbourAdvert {
                router,
                solicited,
                overrides,
                ..
            } => {
                let flags = neighbour::advert_flags(router, solicited, overrides);
                (message::NEIGHBOUR_ADVERT, 0, flags)
            }
        };
        let out = room(out, len)?;
        out[0] = message_type;
        out[1] = code;
        put_u16(out, CHECKSUM_AT, 0);
        put_u32(out, 4, word);
        match *self {
            Self::NeighbourSolicit { target, source_mac } => {
                neighbour::put_body(out, target, options::SOURCE_LINK_LAYER, source_mac);
            }
            Self::NeighbourAdvert {
                target, target_mac, ..
            } => {
                neighbour::put_body(out, target, options::TARGET_LINK_LAYER, target_mac);
            }
            _ => {}
        }
        Ok(len)
    }
}
