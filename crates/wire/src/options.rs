//! The option area that IPv4 and TCP share the shape of: up to 40 bytes, in words of four.

/// Raw header options, padded to a multiple of four bytes by whoever made them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HeaderOptions {
    len: u8,
    bytes: [u8; Self::LEN_MAX],
}

impl HeaderOptions {
    /// What a four-bit header length can express past a 20-byte header.
    pub const LEN_MAX: usize = 40;
    /// No options.
    pub const NONE: Self = Self {
        len: 0,
        bytes: [0; Self::LEN_MAX],
    };

    /// Takes options as they are; `None` if longer than 40 bytes or not a multiple of four.
    #[must_use]
    pub fn new(options: &[u8]) -> Option<Self> {
        let len = u8::try_from(options.len()).ok()?;
        if !len.is_multiple_of(4) {
            return None;
        }
        let mut bytes = [0; Self::LEN_MAX];
        bytes.get_mut(..options.len())?.copy_from_slice(options);
        Some(Self { len, bytes })
    }

    /// The options' bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Bytes of options, a multiple of four.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// There are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The four-bit header length, in words, of a 20-byte header followed by these options.
    pub(crate) const fn header_words(&self) -> u8 {
        5 + self.len / 4
    }
}

impl core::fmt::Debug for HeaderOptions {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("HeaderOptions")
            .field(&self.as_bytes())
            .finish()
    }
}
