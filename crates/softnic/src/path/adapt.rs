//! What a frame's sender left to devices and its receiver does not take: done in software.

use wire::checksum::fill_l4;
use wire::dissect::plain_head;
use wire::gso::segment;
use wire::virtio_net::{GsoType, Offload, VirtioNetError, VirtioNetHeader};
use wire::{Family, Kind, dissect};

use crate::offload::{Offloads, Segmentation};

/// The longest frame that a segment is cut into.
pub(super) const PIECE_MAX: usize = 14 + 65_535;

/// Checks what is left to devices of a plain packet against its first bytes. None means that the
/// whole frame is needed to tell.
///
/// # Errors
/// It does not fit the packet: were it done, bytes that were judged would be written over.
#[inline]
pub(super) fn checked_head(
    header: &VirtioNetHeader,
    head: &[u8],
    len: usize,
) -> Option<Result<Offload, VirtioNetError>> {
    if asks_nothing(header) {
        return Some(Ok(Offload::default()));
    }
    let packet = plain_head(head, len)?;
    let offload = header.check(len);
    Some(offload.and_then(|offload| offload.check_plain(&packet).map(|()| offload)))
}

/// As [`checked_head`], of a whole frame of any kind.
pub(super) fn checked(header: &VirtioNetHeader, frame: &[u8]) -> Result<Offload, VirtioNetError> {
    if asks_nothing(header) {
        return Ok(Offload::default());
    }
    let offload = header.check(frame.len())?;
    match dissect(frame).map(|found| found.kind) {
        Ok(Kind::Ip(packet)) => offload.check_packet(&packet).map(|()| offload),
        _ if offload == Offload::default() => Ok(offload),
        _ => Err(VirtioNetError::Mismatch),
    }
}

/// Whether a guest takes a frame as it is.
#[inline]
pub(super) fn takes(receiver: Offloads, offload: &Offload, family: Family) -> bool {
    if offload.checksum.is_some() && !receiver.partial_checksum_to_guest() {
        return false;
    }
    let Some(gso) = offload.gso else {
        return true;
    };
    let kind = match (gso.kind, family) {
        (GsoType::TcpV4, _) => Segmentation::Tcp4,
        (GsoType::TcpV6, _) => Segmentation::Tcp6,
        (GsoType::UdpL4, Family::V4) => Segmentation::Udp4,
        (GsoType::UdpL4, Family::V6) => Segmentation::Udp6,
    };
    receiver.segment_to_guest(kind, gso.ecn)
}

/// Does what was left to devices: hands out the frame, or the frames that a segment is cut into,
/// with their checksums. Whether that could be done.
pub(super) fn finish(
    frame: &mut [u8],
    offload: &Offload,
    piece: &mut [u8],
    mut each: impl FnMut(&[u8]),
) -> bool {
    let Ok(Kind::Ip(packet)) = dissect(frame).map(|found| found.kind) else {
        return false;
    };
    match offload.gso {
        Some(gso) => segment(frame, &packet, gso.size, piece, each).is_ok(),
        None => {
            let filled = offload.checksum.is_none() || fill_l4(frame, &packet) == Ok(true);
            if filled {
                each(frame);
            }
            filled
        }
    }
}

#[inline]
fn asks_nothing(header: &VirtioNetHeader) -> bool {
    header.flags & wire::virtio_net::NEEDS_CSUM == 0 && header.gso_type == 0
}
