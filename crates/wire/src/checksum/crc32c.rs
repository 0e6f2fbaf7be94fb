//! CRC32c, the checksum of SCTP (RFC 9260, appendix A).

use core::ops::Range;

use crate::{
    IpPacket,
    ip::protocol,
    octets::{array_at, put},
};

/// Bytes of the common header, and where its checksum is (RFC 9260, 3.1).
const HEADER_LEN: usize = 12;
const CHECKSUM_AT: usize = 8;

/// The polynomial 0x1EDC6F41, lowest bit first.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// `TABLES[n][b]` is what a byte `b` does to the register when `n` more bytes follow it.
static TABLES: [[u32; 256]; 8] = tables();

/// The register after `bytes`; begin with all ones and complement the last.
fn update(mut register: u32, bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let mixed = u64::from_le_bytes(*word) ^ u64::from(register);
        let folded = mixed.to_le_bytes().into_iter().zip(TABLES.iter().rev());
        register = folded.fold(0, |sum, (byte, table)| sum ^ table[usize::from(byte)]);
    }
    rest.iter().fold(register, |register, byte| {
        let [low, ..] = register.to_le_bytes();
        (register >> 8) ^ TABLES[0][usize::from(low ^ byte)]
    })
}

/// The checksum of an SCTP packet, as if its checksum field were zero; it goes into the packet
/// lowest byte first.
fn checksum(packet: &[u8]) -> [u8; 4] {
    let (before, rest) = packet.split_at(CHECKSUM_AT);
    let register = update(update(update(u32::MAX, before), &[0; 4]), &rest[4..]);
    (!register).to_le_bytes()
}

/// Writes the checksum of the SCTP packet that lies in `range`, which is long enough
/// ([`place`]).
pub(super) fn fill(frame: &mut [u8], range: Range<usize>) {
    let found = checksum(&frame[range.clone()]);
    put(frame, range.start + CHECKSUM_AT, &found);
}

/// Whether the checksum of the SCTP packet that lies in `range` is right.
pub(super) fn is_valid(frame: &[u8], range: Range<usize>) -> bool {
    let stated = array_at::<4>(frame, range.start + CHECKSUM_AT);
    checksum(&frame[range]) == stated
}

/// Where `packet` has an SCTP packet, whole and with a checksum field.
pub(super) fn place(frame: &[u8], packet: &IpPacket) -> Option<Range<usize>> {
    let start = packet.l4_offset;
    let end = packet.l3_offset.saturating_add(packet.l3_len);
    let whole = packet.proto == protocol::SCTP && packet.fragment.is_none();
    let long_enough = end >= start.saturating_add(HEADER_LEN) && end <= frame.len();
    (whole && long_enough).then_some(start..end)
}

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "no conversion is const")]
        let mut register = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            let divides = register & 1 == 1;
            register >>= 1;
            if divides {
                register ^= POLYNOMIAL;
            }
            bit += 1;
        }
        tables[0][byte] = register;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[table - 1][byte];
            tables[table][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

#[cfg(test)]
mod tests;
