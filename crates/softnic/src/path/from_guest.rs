//! What a guest sends: its transmit queue, taken in batches.

use vring::batch::{Batch, Segments};
use vring::broken::Broken;
use vring::queue::Queue;
use wire::virtio_net::HeaderForm;

use super::front::{FRAME_MAX, Front};
use crate::offload::Offloads;

/// Frames taken at once. More would push each other out of the first cache, fewer would show the
/// guest its buffers more often.
pub const BATCH: usize = 64;

/// A transmit queue with the frames that were taken from it last.
pub struct FromGuest {
    queue: Queue,
    form: HeaderForm,
    batch: Batch,
    fronts: Box<[Front]>,
}

impl FromGuest {
    /// Serves a queue of a guest that negotiated this.
    #[must_use]
    pub fn new(queue: Queue, offloads: Offloads) -> FromGuest {
        FromGuest {
            queue,
            form: offloads.header_form(),
            batch: Batch::new(BATCH),
            fronts: vec![Front::default(); BATCH].into(),
        }
    }

    /// Takes the next frames, and copies their first bytes out. What was taken before has been given
    /// back.
    ///
    /// # Errors
    /// The guest broke the ring, which is not served any more.
    #[inline]
    pub fn take(&mut self) -> Result<usize, Broken> {
        let taken = self.queue.pop(&mut self.batch, BATCH)?;
        for (chain, front) in self.batch.chains().zip(&mut self.fronts) {
            let bytes = chain.readable();
            if read(bytes, self.form, front).is_none() {
                front.room(self.form, 0);
            }
        }
        Ok(taken)
    }

    /// The first bytes of the frames that were taken, in the guest's order. An empty one is of a
    /// frame whose length cannot be.
    #[inline]
    pub fn fronts(&self, taken: usize) -> &[Front] {
        &self.fronts[..taken]
    }

    /// One of the frames that were taken, and where the rest of it lies.
    #[inline]
    pub fn frame(&mut self, at: usize) -> Option<(&mut Front, Rest<'_>)> {
        let chain = self.batch.chain(at)?;
        let rest = Rest::Guest {
            bytes: chain.readable(),
            frame_at: self.form.header_len(),
        };
        Some((&mut self.fronts[at], rest))
    }

    /// Gives the guest its buffers back. Whether it wants to be called for that.
    #[inline]
    pub fn give_back(&mut self) -> bool {
        let taken = self.batch.len();
        self.queue.complete(&mut self.batch, 0..taken);
        self.queue.publish()
    }

    /// The queue, to be watched, or to be told of other memory.
    pub fn queue_mut(&mut self) -> &mut Queue {
        &mut self.queue
    }

    /// Lets go of the queue. Nothing may be taken.
    #[must_use]
    pub fn into_queue(self) -> Queue {
        self.queue
    }
}

/// Where the bytes of a frame are that are not in its [`Front`].
#[derive(Clone, Copy)]
pub enum Rest<'a> {
    /// In a guest's buffers, in which the frame begins at an offset.
    Guest {
        /// The buffers.
        bytes: Segments<'a>,
        /// Where the frame begins.
        frame_at: usize,
    },
    /// In our own memory: the whole frame.
    Host(&'a [u8]),
}

impl Rest<'_> {
    /// Copies bytes of the frame, from `at` on, into a guest's buffers.
    #[inline]
    pub(super) fn copy_to(
        &self,
        at: usize,
        to: Segments<'_>,
        to_at: usize,
        len: usize,
    ) -> Option<()> {
        match self {
            Rest::Guest { bytes, frame_at } => bytes.copy_to(frame_at + at, to, to_at, len).ok(),
            Rest::Host(frame) => to.write(to_at, frame.get(at..at + len)?).ok(),
        }
    }

    /// Copies bytes of the frame, from `at` on, into our own memory.
    pub fn read(&self, at: usize, into: &mut [u8]) -> Option<()> {
        match self {
            Rest::Guest { bytes, frame_at } => bytes.read(frame_at + at, into).ok(),
            Rest::Host(frame) => {
                into.copy_from_slice(frame.get(at..at + into.len())?);
                Some(())
            }
        }
    }
}

/// Copies the first bytes of a frame out. None if its length cannot be.
#[inline]
fn read(bytes: Segments<'_>, form: HeaderForm, front: &mut Front) -> Option<()> {
    const ETHERNET: u32 = 14;
    let header_len = u32::try_from(form.header_len()).ok()?;
    let frame_len = bytes.len().checked_sub(header_len)?;
    if frame_len < ETHERNET || frame_len as usize > FRAME_MAX {
        return None;
    }
    bytes.read(0, front.room(form, frame_len)).ok()?;
    front.parse(form);
    Some(())
}

#[cfg(test)]
mod tests;
