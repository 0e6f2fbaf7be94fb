//! What a guest gets: its receive queue, whose buffers are taken in stock.

use vring::batch::Batch;
use vring::broken::Broken;
use vring::queue::Queue;
use wire::virtio_net::HeaderForm;

use super::from_guest::Rest;
use super::front::{FRAME_MAX, Front, HEAD_MAX};
use crate::offload::{Offloads, ReceiveBuffers};

/// Buffers taken at once. The longest frame in the shortest mergeable buffers that Linux offers
/// takes 43; DPDK's hold a frame of 2,048 bytes each.
const STOCK: usize = 128;

/// A receive queue, and the buffers of it that are in stock.
///
/// Buffers stay in stock between batches: a guest is not asked anew for each frame.
pub struct ToGuest {
    queue: Queue,
    offloads: Offloads,
    form: HeaderForm,
    mergeable: bool,
    stock: Batch,
    /// The first buffer in stock that is empty; those before it are filled, from `given` on not yet
    /// given back.
    next: usize,
    given: usize,
    /// Whether the guest is to be called for what it was shown.
    call: bool,
}

/// Why a guest does not get a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undelivered {
    /// It has no buffers for it.
    NoBuffers,
    /// Its buffer is too short, and it cannot take a frame in several; or in so many.
    TooLong,
    /// Its ring is broken, and is not served any more.
    Broken(Broken),
    /// The frame's bytes cannot be had: the sender's memory is gone.
    Unreadable,
}

impl ToGuest {
    /// Serves a queue of a guest that negotiated this.
    #[must_use]
    pub fn new(queue: Queue, offloads: Offloads) -> ToGuest {
        ToGuest {
            queue,
            offloads,
            form: offloads.header_form(),
            mergeable: offloads.receive_buffers() == ReceiveBuffers::Mergeable,
            stock: Batch::new(STOCK),
            next: 0,
            given: 0,
            call: false,
        }
    }

    /// What the guest takes.
    #[inline]
    #[must_use]
    pub fn offloads(&self) -> Offloads {
        self.offloads
    }

    /// Writes a frame into the guest's next buffers. It sees them after [`ToGuest::flush`], if not
    /// before.
    ///
    /// # Errors
    /// As [`Undelivered`] says; the guest sees nothing of the frame then.
    #[inline]
    pub fn deliver(&mut self, front: &mut Front, rest: Rest<'_>) -> Result<(), Undelivered> {
        if self.next == self.stock.len() {
            self.restock()?;
        }
        let need = self.form.header_len() + front.len();
        let Some(chain) = self.stock.chain(self.next) else {
            return Err(Undelivered::NoBuffers);
        };
        let buffer = chain.writable();
        if (buffer.len() as usize) < need {
            return self.deliver_in_several(front, rest);
        }
        let whole = front.is_whole();
        let start = front.with_header(self.form, 1);
        let start_len = start.len();
        let unreadable = |_| Undelivered::Unreadable;
        buffer.write(0, start).map_err(unreadable)?;
        if !whole {
            let len = need - start_len;
            rest.copy_to(HEAD_MAX, buffer, start_len, len)
                .ok_or(Undelivered::Unreadable)?;
        }
        self.stock.set_written(self.next, to_u32(need));
        self.next += 1;
        Ok(())
    }

    /// Shows the guest what was written since the last time. Whether it wants to be called for that.
    #[inline]
    pub fn flush(&mut self) -> bool {
        self.show();
        std::mem::take(&mut self.call)
    }

    /// Whether something was written that the guest has not been shown.
    #[inline]
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.given != self.next
    }

    /// The queue, to be told of other memory, with nothing in stock.
    pub fn queue_mut(&mut self) -> &mut Queue {
        self.put_back();
        &mut self.queue
    }

    /// Lets go of the queue. The driver is to be called if that is true.
    #[must_use]
    pub fn into_queue(mut self) -> (Queue, bool) {
        self.put_back();
        (self.queue, self.call)
    }

    /// The frame is longer than the next buffer.
    #[cold]
    fn deliver_in_several(&mut self, front: &mut Front, rest: Rest<'_>) -> Result<(), Undelivered> {
        if !self.mergeable {
            return Err(Undelivered::TooLong);
        }
        let need = self.form.header_len() + front.len();
        let buffers = match self.count(need) {
            Some(buffers) => buffers,
            // There may be more where those in stock came from.
            None => {
                self.restock()?;
                let full = self.stock.len() == STOCK;
                let why = if full {
                    Undelivered::TooLong
                } else {
                    Undelivered::NoBuffers
                };
                self.count(need).ok_or(why)?
            }
        };
        let said = u16::try_from(buffers).map_err(|_| Undelivered::TooLong)?;
        let start = front.with_header(self.form, said);
        let mut at = 0;
        for buffer in self.next..self.next + buffers {
            let written = self.fill(buffer, at, need, start, rest);
            at += written.ok_or(Undelivered::Unreadable)?;
        }
        self.next += buffers;
        Ok(())
    }

    /// How many of the buffers in stock so many bytes take.
    fn count(&self, need: usize) -> Option<usize> {
        let mut left = need;
        for buffer in self.next..self.stock.len() {
            let capacity = self.stock.chain(buffer)?.writable().len() as usize;
            left = left.saturating_sub(capacity);
            if left == 0 {
                return Some(buffer - self.next + 1);
            }
        }
        None
    }

    /// Fills one buffer with bytes from `at` on, of `need` bytes of header and frame. How many it
    /// took.
    fn fill(
        &mut self,
        buffer: usize,
        at: usize,
        need: usize,
        start: &[u8],
        rest: Rest<'_>,
    ) -> Option<usize> {
        let to = self.stock.chain(buffer)?.writable();
        let len = (to.len() as usize).min(need - at);
        let early = start.get(at..).unwrap_or_default();
        let early = &early[..early.len().min(len)];
        to.write(0, early).ok()?;
        if early.len() < len {
            let frame_at = at + early.len() - self.form.header_len();
            rest.copy_to(frame_at, to, early.len(), len - early.len())?;
        }
        self.stock.set_written(buffer, to_u32(len));
        Some(len)
    }

    /// Takes buffers, with those in stock that are empty put back before.
    fn restock(&mut self) -> Result<(), Undelivered> {
        self.put_back();
        let taken = self.queue.pop(&mut self.stock, STOCK);
        (self.next, self.given) = (0, 0);
        match taken {
            Ok(0) => Err(Undelivered::NoBuffers),
            Ok(_) => Ok(()),
            Err(broken) => Err(Undelivered::Broken(broken)),
        }
    }

    /// Gives the guest what is filled, and puts what is empty back.
    fn put_back(&mut self) {
        self.show();
        self.queue.unpop(&mut self.stock, self.next);
        (self.next, self.given) = (self.stock.len(), self.stock.len());
    }

    fn show(&mut self) {
        if self.given < self.next {
            self.queue.complete(&mut self.stock, self.given..self.next);
            self.given = self.next;
            self.call |= self.queue.publish();
        }
    }
}

const _: () = assert!(FRAME_MAX + 12 < u32::MAX as usize);

fn to_u32(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
