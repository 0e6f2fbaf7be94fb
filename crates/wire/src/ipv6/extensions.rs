//! The chain of IPv6 extension headers (RFC 8200 section 4).

use crate::{
    Header, ParseError,
    ip::{Fragment, FragmentOffset, protocol},
    octets::{u16_at, u32_at},
};

/// Extension headers read before a packet is refused.
pub const EXTENSIONS_MAX: usize = 8;

/// What the extension headers of a packet say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extensions {
    /// Protocol of the upper-layer header. In a fragment other than the first it is whatever header
    /// the fragment header names, which may be one more extension.
    pub proto: u8,
    /// Bytes of extension headers.
    pub len: usize,
    /// The packet's place in its datagram; `None` if it is the whole.
    pub fragment: Option<Fragment>,
}

/// Walks hop-by-hop, routing, fragment and destination headers, at most [`EXTENSIONS_MAX`].
///
/// ESP and AH end the walk: they are protocols of their own to a security rule, as they are in
/// IPv4.
#[inline]
pub fn walk_extensions(next_header: u8, payload: &[u8]) -> Result<Extensions, ParseError> {
    let mut chain = Extensions {
        proto: next_header,
        len: 0,
        fragment: None,
    };
    // The commonest packet by far has no extension.
    if !is_extension(next_header) {
        return Ok(chain);
    }
    let mut fragment_seen = false;
    for index in 0..EXTENSIONS_MAX {
        let bytes = &payload[chain.len..];
        let proto = chain.proto;
        match proto {
            protocol::HOP_BY_HOP if index > 0 => {
                return Err(ParseError::BadExtension { next_header: proto });
            }
            protocol::HOP_BY_HOP | protocol::DESTINATION_OPTIONS => {
                chain.len += sized_header(bytes)?;
            }
            protocol::ROUTING => chain.len += routing_header(bytes)?,
            protocol::FRAGMENT if fragment_seen => {
                return Err(ParseError::BadExtension { next_header: proto });
            }
            protocol::FRAGMENT => {
                fragment_seen = true;
                chain.fragment = fragment_header(bytes)?;
                chain.len += 8;
            }
            _ => return Ok(chain),
        }
        chain.proto = bytes[0];
        if chain.fragment.is_some_and(|fragment| !fragment.is_first()) {
            return Ok(chain);
        }
    }
    if is_extension(chain.proto) {
        return Err(ParseError::TooManyExtensions {
            max: EXTENSIONS_MAX,
        });
    }
    Ok(chain)
}

const fn is_extension(proto: u8) -> bool {
    matches!(
        proto,
        protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::FRAGMENT
            | protocol::DESTINATION_OPTIONS
    )
}

fn at_least(bytes: &[u8], need: usize) -> Result<(), ParseError> {
    let have = bytes.len();
    if have < need {
        return Err(ParseError::Truncated {
            header: Header::Ipv6Extension,
            need,
            have,
        });
    }
    Ok(())
}

/// Length of a header that counts itself in units of eight bytes, the first not counted.
fn sized_header(bytes: &[u8]) -> Result<usize, ParseError> {
    at_least(bytes, 8)?;
    let len = (usize::from(bytes[1]) + 1) * 8;
    at_least(bytes, len)?;
    Ok(len)
}

fn routing_header(bytes: &[u8]) -> Result<usize, ParseError> {
    let len = sized_header(bytes)?;
    let (routing_type, segments_left) = (bytes[2], bytes[3]);
    // RFC 5095: type 0 lets the sender bounce traffic between two nodes.
    if routing_type == 0 && segments_left != 0 {
        return Err(ParseError::BadExtension {
            next_header: protocol::ROUTING,
        });
    }
    Ok(len)
}

/// `None` for an atomic fragment (RFC 6946).
fn fragment_header(bytes: &[u8]) -> Result<Option<Fragment>, ParseError> {
    at_least(bytes, 8)?;
    let field = u16_at(bytes, 2);
    let offset = FragmentOffset::from_units(field >> 3).bytes();
    let more = field & 1 != 0;
    Ok((offset != 0 || more).then(|| Fragment {
        id: u32_at(bytes, 4),
        offset,
        more,
    }))
}

#[cfg(test)]
mod tests;
