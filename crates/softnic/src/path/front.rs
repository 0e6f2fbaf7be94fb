//! The first bytes of a frame, in our own memory.

use wire::virtio_net::{HeaderForm, VirtioNetHeader};

/// Bytes of a frame that are copied out: Ethernet, IPv6, TCP with all its options, and 130 more, so
/// that the short packets that come in millions are here whole.
pub const HEAD_MAX: usize = 244;

/// Room for the longest virtio-net header before the frame.
const HEADER_MAX: usize = 12;

/// The longest frame: an IP packet of 65,535 bytes with Ethernet header and a VLAN tag.
pub const FRAME_MAX: usize = 14 + 4 + 65_535;

/// The first bytes of one frame, with room before them for the virtio-net header of whoever gets it,
/// so that both are written to a guest in one piece.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Front {
    bytes: [u8; HEADER_MAX + HEAD_MAX],
    /// What the sender left to devices. Not checked.
    pub header: VirtioNetHeader,
    /// Bytes of the frame in all.
    len: u32,
}

impl Default for Front {
    fn default() -> Front {
        Front {
            bytes: [0; HEADER_MAX + HEAD_MAX],
            header: VirtioNetHeader::default(),
            len: 0,
        }
    }
}

impl Front {
    /// Bytes of the frame in all.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is no frame.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether all of the frame is here.
    #[inline]
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.len() <= HEAD_MAX
    }

    /// The frame's first bytes.
    #[inline]
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.bytes[HEADER_MAX..HEADER_MAX + self.len().min(HEAD_MAX)]
    }

    /// The frame's first bytes, to be rewritten.
    #[inline]
    pub fn head_mut(&mut self) -> &mut [u8] {
        let end = HEADER_MAX + self.len().min(HEAD_MAX);
        &mut self.bytes[HEADER_MAX..end]
    }

    /// Takes in a frame of our own memory.
    pub fn set(&mut self, header: VirtioNetHeader, frame: &[u8]) {
        self.len = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        self.header = header;
        let head = &frame[..frame.len().min(HEAD_MAX)];
        self.head_mut().copy_from_slice(head);
    }

    /// Room for a header in this form and for the first `len` bytes of a frame of `frame_len` bytes,
    /// to be filled by the caller, who calls [`Front::parse`] then.
    #[inline]
    pub(super) fn room(&mut self, form: HeaderForm, frame_len: u32) -> &mut [u8] {
        self.len = frame_len;
        let end = HEADER_MAX + self.len().min(HEAD_MAX);
        &mut self.bytes[HEADER_MAX - form.header_len()..end]
    }

    /// Reads the header that the room was filled with.
    #[inline]
    pub(super) fn parse(&mut self, form: HeaderForm) {
        let start = HEADER_MAX - form.header_len();
        self.header = VirtioNetHeader::parse(&self.bytes[start..], form).unwrap_or_default();
    }

    /// Header and first bytes as a guest gets them whose header has this form and says so many
    /// buffers.
    #[inline]
    pub(super) fn with_header(&mut self, form: HeaderForm, buffers: u16) -> &[u8] {
        let start = HEADER_MAX - form.header_len();
        let end = HEADER_MAX + self.len().min(HEAD_MAX);
        self.header.num_buffers = buffers.into();
        let written = self.header.emit(form, &mut self.bytes[start..]);
        debug_assert_eq!(written, Ok(form.header_len()));
        &self.bytes[start..end]
    }
}

#[cfg(test)]
mod tests;
