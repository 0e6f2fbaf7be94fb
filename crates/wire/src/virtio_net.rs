//! The header before each packet on a virtio network queue (virtio 1.2 section 5.1.6).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, little_endian::U16};

use crate::{
    Family, IpPacket,
    checksum::Sum,
    dissect::{L4, PlainAddresses, PlainPacket},
    ethernet,
    ip::protocol,
    ipv4, ipv6,
    octets::put_u16,
    tcp, udp,
};

/// Flag: the checksum at `csum_start + csum_offset` is only the pseudo header's; finish it.
pub const NEEDS_CSUM: u8 = 1;
/// Flag: the checksums of the packet were verified.
pub const DATA_VALID: u8 = 2;
/// Bit of the GSO type: the super-segment has congestion notification on.
pub const GSO_ECN: u8 = 0x80;

/// Length of the header: it depends on the features that were negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderForm {
    /// 10 bytes, without a buffer count: legacy devices without `VIRTIO_NET_F_MRG_RXBUF`.
    Short,
    /// 12 bytes: everything else.
    Long,
}

impl HeaderForm {
    /// Length in bytes.
    #[must_use]
    pub const fn header_len(self) -> usize {
        match self {
            Self::Short => 10,
            Self::Long => 12,
        }
    }
}

/// The header, as it lies in guest memory. Nothing in it is to be believed before [`Self::check`].
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(C)]
pub struct VirtioNetHeader {
    /// [`NEEDS_CSUM`], [`DATA_VALID`]; unknown bits are ignored, as the specification demands.
    pub flags: u8,
    /// Kind of super-segment; see [`GsoType`] and [`GSO_ECN`].
    pub gso_type: u8,
    /// Length of all headers, in bytes: a hint.
    pub hdr_len: U16,
    /// Payload bytes each frame of a super-segment may carry.
    pub gso_size: U16,
    /// Where the checksum begins to count, in bytes from the start of the frame.
    pub csum_start: U16,
    /// Where the checksum is written, in bytes from `csum_start`.
    pub csum_offset: U16,
    /// Buffers the packet takes, to the guest with merged buffers; zero from it. Only in the long
    /// form.
    pub num_buffers: U16,
}

const _: () = assert!(size_of::<VirtioNetHeader>() == HeaderForm::Long.header_len());

/// Kind of super-segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum GsoType {
    /// TCP over IPv4.
    TcpV4 = 1,
    /// TCP over IPv6.
    TcpV6 = 4,
    /// UDP, each frame a datagram of its own.
    UdpL4 = 5,
}

/// What a checked header asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// A checksum to finish.
    pub checksum: Option<PartialChecksum>,
    /// A super-segment to cut.
    pub gso: Option<Gso>,
}

/// A checksum to finish; both offsets are inside the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialChecksum {
    /// Where the checksum begins to count, in bytes from the start of the frame.
    pub start: usize,
    /// Where the checksum is written, in bytes from the start of the frame.
    pub field: usize,
}

/// A super-segment to cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gso {
    /// Its kind.
    pub kind: GsoType,
    /// Payload bytes each frame may carry.
    pub size: core::num::NonZeroU16,
    /// It has congestion notification on.
    pub ecn: bool,
}

/// Why a guest's header was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VirtioNetError {
    /// Fewer bytes than the form has.
    #[error("virtio-net header truncated: needs {need} bytes, has {have}")]
    Truncated {
        /// Bytes of the form.
        need: usize,
        /// Bytes that are there.
        have: usize,
    },
    /// A GSO type that is unknown, or that was never offered (UFO).
    #[error("virtio-net GSO type {found:#x} unsupported")]
    GsoType {
        /// The type found.
        found: u8,
    },
    /// A super-segment whose frames could carry nothing.
    #[error("virtio-net GSO size is zero")]
    ZeroGsoSize,
    /// A super-segment without [`NEEDS_CSUM`]: its frames' checksums could not be right.
    #[error("virtio-net GSO packet without a partial checksum")]
    GsoWithoutChecksum,
    /// A header length past the end of the frame.
    #[error("virtio-net header length {hdr_len} exceeds the frame's {frame_len} bytes")]
    HeaderLength {
        /// The length found.
        hdr_len: usize,
        /// The frame's length.
        frame_len: usize,
    },
    /// A checksum that would begin or be written past the end of the frame.
    #[error("virtio-net checksum at {field} exceeds the frame's {frame_len} bytes")]
    ChecksumOutside {
        /// Where it would be written.
        field: usize,
        /// The frame's length.
        frame_len: usize,
    },
    /// A checksum or super-segment that does not fit the packet in the frame.
    #[error("virtio-net offload does not match the packet")]
    Mismatch,
}

impl VirtioNetHeader {
    /// Reads a header from the start of `bytes`; the frame follows it.
    pub fn parse(bytes: &[u8], form: HeaderForm) -> Result<Self, VirtioNetError> {
        let (need, have) = (form.header_len(), bytes.len());
        let found = bytes
            .get(..need)
            .ok_or(VirtioNetError::Truncated { need, have })?;
        let mut header = Self::default();
        header.as_mut_bytes()[..need].copy_from_slice(found);
        Ok(header)
    }

    /// Writes the header to the start of `out` and returns its length.
    pub fn emit(&self, form: HeaderForm, out: &mut [u8]) -> Result<usize, VirtioNetError> {
        let (need, have) = (form.header_len(), out.len());
        let out = out
            .get_mut(..need)
            .ok_or(VirtioNetError::Truncated { need, have })?;
        out.copy_from_slice(&self.as_bytes()[..need]);
        Ok(need)
    }

    /// The header of a frame of which so much is left to devices, whose headers end at `hdr_len`.
    #[must_use]
    pub fn of(offload: &Offload, hdr_len: usize) -> Self {
        let number = |value: usize| U16::new(u16::try_from(value).unwrap_or(u16::MAX));
        let mut header = Self::default();
        if let Some(PartialChecksum { start, field }) = offload.checksum {
            header.flags = NEEDS_CSUM;
            header.hdr_len = number(hdr_len);
            header.csum_start = number(start);
            header.csum_offset = number(field - start);
        }
        if let Some(gso) = offload.gso {
            header.gso_type = gso.kind as u8 | if gso.ecn { GSO_ECN } else { 0 };
            header.gso_size = U16::new(gso.size.get());
        }
        header
    }

    /// Checks the header against the length of its frame, and says what it asks for.
    pub fn check(&self, frame_len: usize) -> Result<Offload, VirtioNetError> {
        let hdr_len = usize::from(self.hdr_len.get());
        if hdr_len > frame_len {
            return Err(VirtioNetError::HeaderLength { hdr_len, frame_len });
        }
        let checksum = self.partial_checksum(frame_len)?;
        let gso = self.gso()?;
        if gso.is_some() && checksum.is_none() {
            return Err(VirtioNetError::GsoWithoutChecksum);
        }
        Ok(Offload { checksum, gso })
    }

    fn partial_checksum(
        &self,
        frame_len: usize,
    ) -> Result<Option<PartialChecksum>, VirtioNetError> {
        if self.flags & NEEDS_CSUM == 0 {
            return Ok(None);
        }
        let start = usize::from(self.csum_start.get());
        let field = start + usize::from(self.csum_offset.get());
        if field + 2 > frame_len {
            return Err(VirtioNetError::ChecksumOutside { field, frame_len });
        }
        Ok(Some(PartialChecksum { start, field }))
    }

    fn gso(&self) -> Result<Option<Gso>, VirtioNetError> {
        let kind = match self.gso_type & !GSO_ECN {
            0 if self.gso_type == 0 => return Ok(None),
            1 => GsoType::TcpV4,
            4 => GsoType::TcpV6,
            5 => GsoType::UdpL4,
            _ => {
                return Err(VirtioNetError::GsoType {
                    found: self.gso_type,
                });
            }
        };
        let ecn = self.gso_type & GSO_ECN != 0;
        if ecn && kind == GsoType::UdpL4 {
            return Err(VirtioNetError::GsoType {
                found: self.gso_type,
            });
        }
        let size =
            core::num::NonZeroU16::new(self.gso_size.get()).ok_or(VirtioNetError::ZeroGsoSize)?;
        Ok(Some(Gso { kind, size, ecn }))
    }
}

impl Offload {
    /// Checks the offload against the packet in the frame.
    ///
    /// Without this, a guest could have the checksum written over any two bytes of a frame after
    /// the policy has judged them, its source address for one.
    pub fn check_packet(&self, packet: &IpPacket) -> Result<(), VirtioNetError> {
        let field_at = match packet.l4 {
            L4::Tcp { .. } => Some(tcp::CHECKSUM_AT),
            L4::Udp { .. } => Some(udp::CHECKSUM_AT),
            _ => None,
        };
        let expected = field_at.map(|at| PartialChecksum {
            start: packet.l4_offset,
            field: packet.l4_offset + at,
        });
        let checksum_fits =
            self.checksum.is_none() || (self.checksum == expected && packet.fragment.is_none());
        let gso_fits = match self.gso.map(|gso| gso.kind) {
            None => true,
            Some(GsoType::TcpV4) => {
                matches!((packet.l4, packet.family), (L4::Tcp { .. }, Family::V4))
            }
            Some(GsoType::TcpV6) => {
                matches!((packet.l4, packet.family), (L4::Tcp { .. }, Family::V6))
            }
            Some(GsoType::UdpL4) => matches!(packet.l4, L4::Udp { .. }),
        };
        if checksum_fits && gso_fits {
            Ok(())
        } else {
            Err(VirtioNetError::Mismatch)
        }
    }

    /// As [`Offload::check_packet`], against a packet that is as most are.
    pub fn check_plain(&self, packet: &PlainPacket<'_>) -> Result<(), VirtioNetError> {
        let (family, header_len) = match packet.tuple.addresses {
            PlainAddresses::V4(_) => (Family::V4, ipv4::HEADER_LEN),
            PlainAddresses::V6(_) => (Family::V6, ipv6::HEADER_LEN),
        };
        let is_tcp = packet.tuple.proto == protocol::TCP;
        let field_at = if is_tcp {
            tcp::CHECKSUM_AT
        } else {
            udp::CHECKSUM_AT
        };
        let start = ethernet::HEADER_LEN + header_len;
        let field = start + field_at;
        let checksum_fits = match self.checksum {
            None => true,
            Some(found) => found == PartialChecksum { start, field },
        };
        let gso_fits = match self.gso.map(|gso| gso.kind) {
            None => true,
            Some(GsoType::TcpV4) => is_tcp && family == Family::V4,
            Some(GsoType::TcpV6) => is_tcp && family == Family::V6,
            Some(GsoType::UdpL4) => !is_tcp,
        };
        if checksum_fits && gso_fits {
            Ok(())
        } else {
            Err(VirtioNetError::Mismatch)
        }
    }
}

/// Finishes the checksum a guest left partial; does nothing if it left none. The sum runs to the
/// end of the frame, as the specification has it, so padding must be zero or absent.
///
/// The frame's packet must have passed [`Offload::check_packet`] before.
pub fn finish_checksum(frame: &mut [u8], header: &VirtioNetHeader) -> Result<(), VirtioNetError> {
    let Some(PartialChecksum { start, field }) = header.partial_checksum(frame.len())? else {
        return Ok(());
    };
    // The field holds the pseudo header's sum and so takes part.
    let checksum = Sum::of(&frame[start..]).finish();
    // Zero would mean "none" to UDP, and to TCP its equal, all ones, means the same sum.
    put_u16(frame, field, if checksum == 0 { 0xffff } else { checksum });
    Ok(())
}

#[cfg(test)]
mod tests;
