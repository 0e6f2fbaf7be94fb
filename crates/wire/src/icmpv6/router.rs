//! Router solicitations and advertisements (RFC 4861 sections 4.1, 4.2 and 4.6; RFC 8106).

use core::net::Ipv6Addr;

use super::{CHECKSUM_AT, Icmpv6View, message, options};
use crate::{
    EmitError, Header, MacAddr, ParseError,
    error::room,
    octets::{array_at, put, put_u16, put_u32},
};

/// Bytes before the options of an advertisement.
const ADVERT_LEN: usize = 16;
const MANAGED: u8 = 0x80;
const OTHER: u8 = 0x40;
const ON_LINK: u8 = 0x80;
const AUTONOMOUS: u8 = 0x40;

/// A solicitation whose options are well formed.
#[derive(Clone, Copy, Debug)]
pub struct RouterSolicitView {
    source_mac: Option<MacAddr>,
}

impl RouterSolicitView {
    /// Walks the options. The caller has looked at the type.
    pub fn new(message: Icmpv6View<'_>) -> Result<Self, ParseError> {
        let mut source_mac = None;
        options::walk(message.payload(), |kind, option| {
            if kind == options::SOURCE_LINK_LAYER && option.len() == options::LINK_LAYER_LEN {
                source_mac = Some(MacAddr(array_at(option, 2)));
            }
        })?;
        Ok(Self { source_mac })
    }

    /// The asker's Ethernet address, if it gave one.
    #[must_use]
    pub fn source_mac(&self) -> Option<MacAddr> {
        self.source_mac
    }
}

/// The fixed part of an advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouterAdvert {
    /// The hop limit hosts should send with; zero says nothing of it.
    pub hop_limit: u8,
    /// Addresses are to be had by DHCPv6 (the M flag).
    pub managed: bool,
    /// Other configuration is to be had by DHCPv6 (the O flag).
    pub other: bool,
    /// Seconds for which the sender is a default router; zero when it is none.
    pub lifetime: u16,
}

/// A prefix of the link (RFC 4861 section 4.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixInformation {
    /// Its bits; those past the length are zero.
    pub prefix: Ipv6Addr,
    /// How many bits count.
    pub length: u8,
    /// Its addresses are on the link (the L flag).
    pub on_link: bool,
    /// Hosts may make addresses of it for themselves (the A flag, RFC 4862).
    pub autonomous: bool,
    /// Seconds for which it is on the link; all ones is for ever.
    pub valid: u32,
    /// Seconds for which addresses made of it are preferred, likewise.
    pub preferred: u32,
}

/// An advertisement in the making: the fixed part, then options one by one.
#[derive(Debug)]
pub struct RouterAdvertWriter<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> RouterAdvertWriter<'a> {
    /// Begins an advertisement at the start of `out`. Reachable time and retransmission timer are
    /// left to the hosts. The checksum is zero until the headers are around it.
    pub fn new(out: &'a mut [u8], advert: &RouterAdvert) -> Result<Self, EmitError> {
        let fixed = room(out, ADVERT_LEN)?;
        fixed.fill(0);
        fixed[0] = message::ROUTER_ADVERT;
        put_u16(fixed, CHECKSUM_AT, 0);
        fixed[4] = advert.hop_limit;
        fixed[5] = flag(advert.managed, MANAGED) | flag(advert.other, OTHER);
        put_u16(fixed, 6, advert.lifetime);
        Ok(Self {
            out,
            len: ADVERT_LEN,
        })
    }

    /// The sender's Ethernet address.
    pub fn source_mac(&mut self, mac: MacAddr) -> Result<(), EmitError> {
        let option = self.option(options::SOURCE_LINK_LAYER, options::LINK_LAYER_LEN)?;
        put(option, 2, &mac.0);
        Ok(())
    }

    /// The largest IP packet of the link, in bytes; hosts heed 1280 and more (RFC 8200 section 5).
    pub fn mtu(&mut self, mtu: u32) -> Result<(), EmitError> {
        put_u32(self.option(options::MTU, 8)?, 4, mtu);
        Ok(())
    }

    /// A prefix of the link.
    pub fn prefix(&mut self, prefix: &PrefixInformation) -> Result<(), EmitError> {
        let option = self.option(options::PREFIX_INFORMATION, 32)?;
        option[2] = prefix.length;
        option[3] = flag(prefix.on_link, ON_LINK) | flag(prefix.autonomous, AUTONOMOUS);
        put_u32(option, 4, prefix.valid);
        put_u32(option, 8, prefix.preferred);
        put(option, 16, &prefix.prefix.octets());
        Ok(())
    }

    /// Name servers and for how many seconds they may be asked, all ones being for ever. None needs
    /// no option.
    pub fn dns_servers(
        &mut self,
        lifetime: u32,
        servers: impl Iterator<Item = Ipv6Addr> + Clone,
    ) -> Result<(), EmitError> {
        let count = servers.clone().count();
        if count == 0 {
            return Ok(());
        }
        let option = self.option(options::RECURSIVE_DNS, 8 + 16 * count)?;
        put_u32(option, 4, lifetime);
        for (index, server) in servers.enumerate() {
            put(option, 8 + 16 * index, &server.octets());
        }
        Ok(())
    }

    /// Bytes written.
    #[must_use]
    pub fn finish(self) -> usize {
        self.len
    }

    /// A zeroed option of `len` bytes, a multiple of eight, with its head written.
    fn option(&mut self, kind: u8, len: usize) -> Result<&mut [u8], EmitError> {
        let units = u8::try_from(len / 8).map_err(|_| EmitError::PayloadTooLong {
            header: Header::Icmpv6,
            len,
            max: usize::from(u8::MAX) * 8,
        })?;
        let option = room(&mut self.out[self.len..], len)?;
        option.fill(0);
        option[0] = kind;
        option[1] = units;
        self.len += len;
        Ok(option)
    }
}

const fn flag(set: bool, bit: u8) -> u8 {
    if set { bit } else { 0 }
}

#[cfg(test)]
mod tests;
