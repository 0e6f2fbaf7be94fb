//! Neighbour solicitations and advertisements (RFC 4861 sections 4.3, 4.4 and 4.6).

use core::net::Ipv6Addr;

use super::options::{self, LINK_LAYER_LEN, SOURCE_LINK_LAYER, TARGET_LINK_LAYER};
use super::{HEADER_LEN, Icmpv6View};
use crate::{
    Header, MacAddr, ParseError,
    octets::{array_at, put},
};

const TARGET_LEN: usize = 16;

const ROUTER: u32 = 1 << 31;
const SOLICITED: u32 = 1 << 30;
const OVERRIDE: u32 = 1 << 29;

/// A solicitation whose options are well formed.
#[derive(Clone, Copy, Debug)]
pub struct NeighbourSolicitView {
    target: Ipv6Addr,
    source_mac: Option<MacAddr>,
}

impl NeighbourSolicitView {
    /// Checks the length and walks the options. The caller has looked at the type.
    pub fn new(message: Icmpv6View<'_>) -> Result<Self, ParseError> {
        let (target, source_mac) = target_and_mac(message.payload(), SOURCE_LINK_LAYER)?;
        Ok(Self { target, source_mac })
    }

    /// The address asked for.
    #[must_use]
    pub fn target(&self) -> Ipv6Addr {
        self.target
    }

    /// The asker's Ethernet address, if it gave one.
    #[must_use]
    pub fn source_mac(&self) -> Option<MacAddr> {
        self.source_mac
    }
}

/// An advertisement whose options are well formed.
#[derive(Clone, Copy, Debug)]
pub struct NeighbourAdvertView {
    flags: u32,
    target: Ipv6Addr,
    target_mac: Option<MacAddr>,
}

impl NeighbourAdvertView {
    /// Checks the length and walks the options. The caller has looked at the type.
    pub fn new(message: Icmpv6View<'_>) -> Result<Self, ParseError> {
        let (target, target_mac) = target_and_mac(message.payload(), TARGET_LINK_LAYER)?;
        Ok(Self {
            flags: message.word(),
            target,
            target_mac,
        })
    }

    /// The address answered for.
    #[must_use]
    pub fn target(&self) -> Ipv6Addr {
        self.target
    }

    /// The Ethernet address of the target, if given.
    #[must_use]
    pub fn target_mac(&self) -> Option<MacAddr> {
        self.target_mac
    }

    /// The sender is a router.
    #[must_use]
    pub fn router(&self) -> bool {
        self.flags & ROUTER != 0
    }

    /// This answers a solicitation.
    #[must_use]
    pub fn solicited(&self) -> bool {
        self.flags & SOLICITED != 0
    }

    /// Replace what you had cached.
    #[must_use]
    pub fn overrides(&self) -> bool {
        self.flags & OVERRIDE != 0
    }
}

/// The target, and the last link-layer address option of type `wanted`.
fn target_and_mac(body: &[u8], wanted: u8) -> Result<(Ipv6Addr, Option<MacAddr>), ParseError> {
    let header = Header::Icmpv6;
    let truncated = |need, have| ParseError::Truncated { header, need, have };
    let (target, rest): (&[u8; TARGET_LEN], _) = body
        .split_first_chunk()
        .ok_or(truncated(HEADER_LEN + TARGET_LEN, HEADER_LEN + body.len()))?;
    let mut mac = None;
    options::walk(rest, |kind, option| {
        if kind == wanted && option.len() == LINK_LAYER_LEN {
            mac = Some(MacAddr(array_at(option, 2)));
        }
    })?;
    Ok((Ipv6Addr::from(*target), mac))
}

pub(super) const fn message_len(mac: Option<MacAddr>) -> usize {
    let option = if mac.is_some() { LINK_LAYER_LEN } else { 0 };
    HEADER_LEN + TARGET_LEN + option
}

pub(super) const fn advert_flags(router: bool, solicited: bool, overrides: bool) -> u32 {
    (if router { ROUTER } else { 0 })
        | (if solicited { SOLICITED } else { 0 })
        | (if overrides { OVERRIDE } else { 0 })
}

/// Writes target and option after the header; `out` has exactly [`message_len`] bytes.
pub(super) fn put_body(out: &mut [u8], target: Ipv6Addr, kind: u8, mac: Option<MacAddr>) {
    put(out, HEADER_LEN, &target.octets());
    if let Some(mac) = mac {
        let at = HEADER_LEN + TARGET_LEN;
        out[at] = kind;
        out[at + 1] = 1;
        put(out, at + 2, &mac.0);
    }
}
