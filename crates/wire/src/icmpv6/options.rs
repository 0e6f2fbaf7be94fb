//! The options of neighbour discovery (RFC 4861 section 4.6): type, length in units of eight bytes,
//! value.

use crate::{Header, ParseError};

/// Option that carries the sender's link-layer address.
pub(super) const SOURCE_LINK_LAYER: u8 = 1;
/// Option that carries the target's link-layer address.
pub(super) const TARGET_LINK_LAYER: u8 = 2;
/// A prefix of the link.
pub(super) const PREFIX_INFORMATION: u8 = 3;
/// The link's MTU.
pub(super) const MTU: u8 = 5;
/// Recursive name servers (RFC 8106 section 5.1).
pub(super) const RECURSIVE_DNS: u8 = 25;

/// Bytes in an option with an Ethernet address.
pub(super) const LINK_LAYER_LEN: usize = 8;

/// Shows each option to `seen`, whole: type and length are its first two bytes.
pub(super) fn walk(mut options: &[u8], mut seen: impl FnMut(u8, &[u8])) -> Result<(), ParseError> {
    let header = Header::Icmpv6;
    let truncated = |need, have| ParseError::Truncated { header, need, have };
    while let [kind, units, ..] = *options {
        let len = usize::from(units) * 8;
        // RFC 4861 section 4.6: a node discards a packet that has an option of length zero.
        if len == 0 {
            return Err(ParseError::BadHeaderLength { header, found: 0 });
        }
        let (option, rest) = options
            .split_at_checked(len)
            .ok_or(truncated(len, options.len()))?;
        seen(kind, option);
        options = rest;
    }
    if !options.is_empty() {
        return Err(truncated(LINK_LAYER_LEN, options.len()));
    }
    Ok(())
}
