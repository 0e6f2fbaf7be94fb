use core::net::Ipv6Addr;

use super::{HEADER_LEN, Status, option};
use crate::{EmitError, Header, error::room, octets::put_u16};

/// A message in the making: type and transaction, then options one by one.
#[derive(Debug)]
pub struct Dhcpv6Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Dhcpv6Writer<'a> {
    /// Begins a message at the start of `out`, whose length is the longest it may become.
    pub fn new(
        out: &'a mut [u8],
        message_type: u8,
        transaction: [u8; 3],
    ) -> Result<Self, EmitError> {
        let fixed = room(out, HEADER_LEN)?;
        fixed[0] = message_type;
        fixed[1..].copy_from_slice(&transaction);
        Ok(Self {
            out,
            len: HEADER_LEN,
        })
    }

    /// Adds an option.
    pub fn option(&mut self, code: u16, value: &[u8]) -> Result<(), EmitError> {
        self.nested(code, |writer| writer.bytes(value))
    }

    /// Adds an option whose value `fill` writes. Where that fails the message is not to be sent.
    pub fn nested(
        &mut self,
        code: u16,
        fill: impl FnOnce(&mut Self) -> Result<(), EmitError>,
    ) -> Result<(), EmitError> {
        let at = self.len;
        self.bytes(&code.to_be_bytes())?;
        self.bytes(&[0, 0])?;
        fill(self)?;
        let len = self.len - at - 4;
        let len = u16::try_from(len).map_err(|_| EmitError::PayloadTooLong {
            header: Header::Dhcpv6,
            len,
            max: usize::from(u16::MAX),
        })?;
        put_u16(self.out, at + 2, len);
        Ok(())
    }

    /// What became of a request, without words.
    pub fn status(&mut self, status: Status) -> Result<(), EmitError> {
        self.option(option::STATUS, &(status as u16).to_be_bytes())
    }

    /// An association with its times, in seconds, and the options that `fill` writes.
    pub fn association(
        &mut self,
        code: u16,
        id: u32,
        (renewal, rebinding): (u32, u32),
        fill: impl FnOnce(&mut Self) -> Result<(), EmitError>,
    ) -> Result<(), EmitError> {
        self.nested(code, |writer| {
            for number in [id, renewal, rebinding] {
                writer.bytes(&number.to_be_bytes())?;
            }
            fill(writer)
        })
    }

    /// An address, within an association, for so many seconds.
    pub fn address(
        &mut self,
        address: Ipv6Addr,
        preferred: u32,
        valid: u32,
    ) -> Result<(), EmitError> {
        self.nested(option::IA_ADDRESS, |writer| {
            writer.bytes(&address.octets())?;
            writer.bytes(&preferred.to_be_bytes())?;
            writer.bytes(&valid.to_be_bytes())
        })
    }

    /// Bytes of an option's value, within [`Self::nested`].
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), EmitError> {
        room(&mut self.out[self.len..], bytes.len())?.copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
    }

    /// The message's length.
    #[must_use]
    pub fn finish(self) -> usize {
        self.len
    }
}
