//! What a frame's sender left to devices: a checksum to fill in, a super-segment to cut (virtio
//! 1.2, 5.1.6). It comes from guests, and is believed only where it fits the packet.

use flow::DropReason;
use netdev::{VNET_HEADER_LEN, VnetHeader};
use vswitch::Gso;
use wire::virtio_net::{HeaderForm, NEEDS_CSUM, Offload, PartialChecksum, VirtioNetHeader};
use wire::{IpPacket, Kind, dissect};

/// Nothing was left to devices.
pub(super) const PLAIN: Offload = Offload {
    checksum: None,
    gso: None,
};

/// Fields that the kernel has in host order on packet sockets, and virtio in little-endian order.
const NUMBERS: [usize; 4] = [2, 4, 6, 8];

/// The segment size of a super-segment.
pub(super) fn gso_of(vnet: &VnetHeader) -> Option<Gso> {
    const GSO_NONE: u8 = 0;
    (vnet[1] != GSO_NONE).then(|| Gso {
        size: u16::from_ne_bytes([vnet[4], vnet[5]]),
    })
}

/// Checks what is left to devices against the frame.
///
/// Without this a guest could have two bytes of its choice written after the rules were asked, its
/// source address for one.
pub(super) fn checked(vnet: &VnetHeader, frame: &[u8]) -> Result<Offload, DropReason> {
    const NOTHING: u8 = 0;
    if vnet[0] & NEEDS_CSUM == 0 && vnet[1] == NOTHING {
        return Ok(PLAIN);
    }
    let malformed = |_| DropReason::Malformed;
    let header = read(vnet).ok_or(DropReason::Malformed)?;
    let offload = header.check(frame.len()).map_err(malformed)?;
    match dissect(frame).map_err(|_| DropReason::Malformed)?.kind {
        Kind::Ip(packet) if is_sctp_checksum(&offload, &packet) => Ok(offload),
        Kind::Ip(packet) => {
            offload.check_packet(&packet).map_err(malformed)?;
            Ok(offload)
        }
        _ => Err(DropReason::Malformed),
    }
}

/// The header of the frame that lies from `start` on, `len` bytes long, in a frame with this header.
///
/// What is left to devices is left of the inner packet, but for a checksum of the outer UDP header,
/// whose time is over.
pub(super) fn inner_header(vnet: &VnetHeader, start: usize, len: usize) -> VnetHeader {
    const HDR_LEN: usize = 2;
    const CSUM_START: usize = 6;
    let number = |at: usize| usize::from(u16::from_ne_bytes([vnet[at], vnet[at + 1]]));
    let mut inner = [0; VNET_HEADER_LEN];
    let csum_start = number(CSUM_START);
    if vnet[0] & NEEDS_CSUM == 0 || csum_start < start {
        return inner;
    }
    inner = *vnet;
    inner[0] = NEEDS_CSUM;
    // A hint, which some kernels take as far as the linear part goes.
    let hdr_len = number(HDR_LEN).saturating_sub(start).min(len);
    for (at, value) in [(HDR_LEN, hdr_len), (CSUM_START, csum_start - start)] {
        let value = u16::try_from(value).unwrap_or(u16::MAX);
        inner[at..at + 2].copy_from_slice(&value.to_ne_bytes());
    }
    inner
}

fn read(vnet: &VnetHeader) -> Option<VirtioNetHeader> {
    let mut little = *vnet;
    for at in NUMBERS {
        let value = u16::from_ne_bytes([vnet[at], vnet[at + 1]]);
        little[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    VirtioNetHeader::parse(&little, HeaderForm::Short).ok()
}

/// Linux leaves the checksum of SCTP to devices as it does those of TCP and UDP (RFC 9260, 6.8),
/// although virtio has no word for it.
fn is_sctp_checksum(offload: &Offload, packet: &IpPacket) -> bool {
    const SCTP: u8 = 132;
    const CHECKSUM_AT: usize = 8;
    let start = packet.l4_offset;
    let field = start + CHECKSUM_AT;
    let whole = packet.fragment.is_none();
    packet.proto == SCTP
        && whole
        && offload.gso.is_none()
        && offload.checksum == Some(PartialChecksum { start, field })
}

#[cfg(test)]
mod tests;
