//! What a driver remembers of a chain while the device has it.

use super::{Buffer, DeviceError, OfferError, Returned, Side};
use crate::layout::{Descriptor, WRITE};

/// A chain that is with the device; one of no descriptors is not.
#[derive(Clone, Copy, Default)]
pub(super) struct Chain {
    token: u32,
    /// Bytes that the device may write.
    room: u32,
    /// Descriptors in the ring.
    pub(super) count: u16,
    /// Its free-running number, where the ring counts chains.
    pub(super) number: u16,
}

/// A chain before it is laid out.
pub(super) struct Shape {
    /// Buffers.
    pub(super) count: u16,
    room: u32,
}

impl Shape {
    /// Measures a chain for a queue of `size` descriptors.
    #[inline]
    pub(super) fn of(
        readable: &[Buffer],
        writable: &[Buffer],
        size: u16,
    ) -> Result<Self, OfferError> {
        let count = readable.len() + writable.len();
        if count == 0 {
            return Err(OfferError::Empty);
        }
        let count = u16::try_from(count).map_err(|_| OfferError::TooLong)?;
        if count > size {
            return Err(OfferError::TooLong);
        }
        let to_read = total(readable)?;
        let room = total(writable)?;
        to_read.checked_add(room).ok_or(OfferError::TooLarge)?;
        Ok(Self { count, room })
    }

    #[inline]
    pub(super) fn chain(&self, token: u32, descriptors: u16, number: u16) -> Chain {
        Chain {
            token,
            room: self.room,
            count: descriptors,
            number,
        }
    }
}

fn total(buffers: &[Buffer]) -> Result<u32, OfferError> {
    let mut total = 0_u32;
    for buffer in buffers {
        if buffer.len == 0 {
            return Err(OfferError::Empty);
        }
        total = total.checked_add(buffer.len).ok_or(OfferError::TooLarge)?;
    }
    Ok(total)
}

impl Chain {
    /// A chain of one buffer.
    #[inline(always)]
    pub(super) const fn single(token: u32, side: Side, len: u32, number: u16) -> Self {
        let room = match side {
            Side::Readable => 0,
            Side::Writable => len,
        };
        Self {
            token,
            room,
            count: 1,
            number,
        }
    }

    /// What the caller gets if the device, which calls the chain `id`, wrote so much.
    #[inline(always)]
    pub(super) fn returned(self, id: u32, written: u32) -> Result<Returned, DeviceError> {
        let Self {
            token, room, count, ..
        } = self;
        if count == 0 {
            return Err(DeviceError::NotOffered(id));
        }
        if written > room {
            return Err(DeviceError::TooMuchWritten { id, written, room });
        }
        Ok(Returned { token, written })
    }

    /// What the caller gets for a chain of a batch that was used in order: what the device says of the
    /// last one; the others it passed over, and so used completely (virtio 1.2, 2.7.9 and 2.8.9).
    #[inline(always)]
    pub(super) fn in_batch(self, written: Option<u32>) -> Returned {
        Returned {
            token: self.token,
            written: written.unwrap_or(self.room),
        }
    }
}

impl Descriptor {
    /// The descriptor of a chain of one buffer.
    #[inline(always)]
    pub(super) const fn single(side: Side, buffer: Buffer, link: u16) -> Self {
        Self {
            address: buffer.address.0,
            len: buffer.len,
            flags: match side {
                Side::Readable => 0,
                Side::Writable => WRITE,
            },
            link,
        }
    }
}

/// Fills places with what comes back, until nothing does. What came before an error goes out first;
/// the next call finds the same error again.
#[inline(always)]
pub(super) fn collect_each(
    into: &mut [Returned],
    mut next: impl FnMut() -> Result<Option<Returned>, DeviceError>,
) -> Result<usize, DeviceError> {
    let mut done = 0;
    for place in into {
        match next() {
            Ok(Some(returned)) => *place = returned,
            Ok(None) => break,
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
        done += 1;
    }
    Ok(done)
}
