use core::net::Ipv4Addr;

use super::{BROADCAST, COOKIE, COOKIE_AT, ETHERNET, HEADER_LEN, MESSAGE_LEN_MIN, option};
use crate::{
    EmitError, Header, MacAddr,
    error::room,
    octets::{put, put_u16, put_u32},
};

/// The fixed fields of a message over Ethernet that no relay has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dhcpv4Repr {
    /// A server's answer; otherwise a client's request.
    pub reply: bool,
    /// The transaction's identifier.
    pub xid: u32,
    /// The client cannot receive unicasts yet.
    pub broadcast: bool,
    /// The address the client has.
    pub client_address: Ipv4Addr,
    /// The address the server gives.
    pub your_address: Ipv4Addr,
    /// The client's Ethernet address.
    pub client_mac: MacAddr,
}

/// A message in the making: the fixed fields, then options one by one.
#[derive(Debug)]
pub struct Dhcpv4Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Dhcpv4Writer<'a> {
    /// Begins a message at the start of `out`, whose length is the longest it may become.
    pub fn new(out: &'a mut [u8], message: &Dhcpv4Repr) -> Result<Self, EmitError> {
        // One byte more: no message is without its end mark.
        room(out, HEADER_LEN + 1)?;
        let fixed = &mut out[..HEADER_LEN];
        fixed.fill(0);
        fixed[..3].copy_from_slice(&[if message.reply { 2 } else { 1 }, ETHERNET, 6]);
        put_u32(fixed, 4, message.xid);
        put_u16(fixed, 10, if message.broadcast { BROADCAST } else { 0 });
        put(fixed, 12, &message.client_address.octets());
        put(fixed, 16, &message.your_address.octets());
        put(fixed, 28, &message.client_mac.0);
        put_u32(fixed, COOKIE_AT, COOKIE);
        Ok(Self {
            out,
            len: HEADER_LEN,
        })
    }

    /// Bytes of value that one more option may have.
    #[must_use]
    pub fn room(&self) -> usize {
        let left = self.out.len() - self.len;
        // Code, length, and the end mark.
        left.saturating_sub(3).min(usize::from(u8::MAX))
    }

    /// Adds an option; it is written whole or not at all.
    pub fn option(&mut self, code: u8, value: &[u8]) -> Result<(), EmitError> {
        let len = u8::try_from(value.len()).map_err(|_| EmitError::PayloadTooLong {
            header: Header::Dhcpv4,
            len: value.len(),
            max: usize::from(u8::MAX),
        })?;
        if value.len() > self.room() {
            let (need, have) = (self.len + value.len() + 3, self.out.len());
            return Err(EmitError::BufferTooSmall { need, have });
        }
        self.out[self.len] = code;
        self.out[self.len + 1] = len;
        put(self.out, self.len + 2, value);
        self.len += 2 + value.len();
        Ok(())
    }

    /// Writes the end mark and pads to the least length that all clients take, where there is room
    /// for it. Returns the message's length.
    #[must_use]
    pub fn finish(self) -> usize {
        self.out[self.len] = option::END;
        let end = self.len + 1;
        let padded = end.max(MESSAGE_LEN_MIN.min(self.out.len()));
        self.out[end..padded].fill(option::PAD);
        padded
    }
}
