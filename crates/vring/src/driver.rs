//! The driver's side of a queue: what a guest's kernel does, over memory of our own.
//!
//! For load generators, tools that act as a guest, and proofs: both formats with EVENT_IDX,
//! INDIRECT_DESC and IN_ORDER, chains of any shape that a device must accept. An [`Arena`] is the
//! guest's memory, a [`Driver`] one queue in it:
//!
//! 1. [`Driver::offer`] lays out chains of buffers, each with a token of the caller's choice;
//! 2. [`Driver::publish`] shows all of them to the device at once and says whether it wants a kick;
//! 3. [`Driver::collect`] gives back tokens with the number of bytes that the device wrote;
//! 4. [`Driver::watch`] asks for calls before the caller sleeps, [`Driver::unwatch`] ends that.
//!
//! The device is not trusted: what it returns must have been offered and be returned once, or
//! [`DeviceError`] says what it did.

mod arena;
mod chain;
mod packed;
mod split;
mod tables;

use crate::features::Features;
use crate::layout::{Layout, QUEUE_SIZE_MAX};
use crate::memory::GuestAddress;

pub use arena::{Arena, ArenaError};

use packed::Packed;
use split::Split;
use tables::Tables;

/// One contiguous part of a chain, in the guest's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// First byte.
    pub address: GuestAddress,
    /// Bytes, at least one.
    pub len: u32,
}

/// Who writes a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The driver has written, the device reads.
    Readable,
    /// The device writes.
    Writable,
}

/// A chain that came back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Returned {
    /// What the chain was offered with.
    pub token: u32,
    /// Bytes that the device wrote, from the first writable one on.
    pub written: u32,
}

/// What kind of queue a driver sets up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Descriptors: a power of two for a split ring, at most [`QUEUE_SIZE_MAX`].
    pub size: u16,
    /// Negotiated features; those that are not a ring's own are ignored.
    pub features: Features,
    /// Descriptors of the indirect table that each chain may use, if INDIRECT_DESC is negotiated.
    /// Longer chains, and all with 0, are laid out in the ring itself.
    pub table: u16,
}

/// Why a queue cannot be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// No such size in this format.
    #[error("queue of {0} descriptors")]
    Size(u16),
    /// The arena has no room for it.
    #[error("{0}")]
    Arena(#[from] ArenaError),
}

/// Why a chain is not offered; nothing of it is in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// Too few descriptors are free: collect first.
    #[error("queue full")]
    Full,
    /// It has no buffer, or one without a byte.
    #[error("chain with nothing in it")]
    Empty,
    /// It has more buffers than the queue has descriptors.
    #[error("chain longer than its queue")]
    TooLong,
    /// Its buffers have 4 GiB or more together.
    #[error("chain of 4 GiB or more")]
    TooLarge,
}

/// What a device did that a driver cannot go on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// It returned more chains than it has.
    #[error("used index {0} ahead of what was offered")]
    IndexJump(u16),
    /// It returned a chain that it does not have.
    #[error("used chain {0} not on offer")]
    NotOffered(u32),
    /// It claims to have written more than the chain can hold.
    #[error("used chain {id} with {written} bytes written of {room}")]
    TooMuchWritten {
        /// The chain, as the device names it.
        id: u32,
        /// What it claims.
        written: u32,
        /// What there is.
        room: u32,
    },
}

/// The driver's side of one queue.
pub struct Driver {
    format: Format,
    layout: Layout,
    features: Features,
}

enum Format {
    Split(Split),
    Packed(Packed),
}

impl Driver {
    /// Sets up an empty queue in `arena`, ready for a device to be started on [`Driver::layout`].
    ///
    /// # Errors
    /// [`SetupError`] for a size that the format does not allow, or an arena without room.
    pub fn new(arena: &mut Arena, setup: Setup) -> Result<Self, SetupError> {
        let Setup { size, features, .. } = setup;
        let packed = features.has(Features::RING_PACKED);
        if size == 0 || size > QUEUE_SIZE_MAX || !(packed || size.is_power_of_two()) {
            return Err(SetupError::Size(size));
        }
        let indirect = features.has(Features::INDIRECT_DESC) && setup.table > 0;
        let tables = indirect.then(|| Tables::new(arena, size, setup.table, packed));
        let tables = tables.transpose()?;
        let (format, layout) = if packed {
            let (ring, layout) = Packed::new(arena, size, features, tables)?;
            (Format::Packed(ring), layout)
        } else {
            let (ring, layout) = Split::new(arena, size, features, tables)?;
            (Format::Split(ring), layout)
        };
        Ok(Self {
            format,
            layout,
            features,
        })
    }

    /// Where the queue lies: what a device, or a vhost-user back end, is started with.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// What was negotiated.
    #[must_use]
    pub fn features(&self) -> Features {
        self.features
    }

    /// Descriptors that are free.
    #[inline]
    #[must_use]
    pub fn free(&self) -> u16 {
        match &self.format {
            Format::Split(ring) => ring.free(),
            Format::Packed(ring) => ring.free(),
        }
    }

    /// Lays out a chain of buffers to read, then buffers to write. The device sees it after
    /// [`Driver::publish`].
    ///
    /// # Errors
    /// [`OfferError`]; then nothing has changed.
    #[inline]
    pub fn offer(
        &mut self,
        readable: &[Buffer],
        writable: &[Buffer],
        token: u32,
    ) -> Result<(), OfferError> {
        match &mut self.format {
            Format::Split(ring) => ring.offer(readable, writable, token),
            Format::Packed(ring) => ring.offer(readable, writable, token),
        }
    }

    /// Lays out a chain of one buffer for each of `singles`, until the queue is full or one of them
    /// is empty. Returns how many were taken.
    #[inline]
    pub fn offer_each(
        &mut self,
        side: Side,
        singles: impl IntoIterator<Item = (Buffer, u32)>,
    ) -> usize {
        let singles = singles.into_iter();
        match &mut self.format {
            Format::Split(ring) => ring.offer_each(side, singles),
            Format::Packed(ring) => ring.offer_each(side, singles),
        }
    }

    /// Shows the device all chains since the last call; whether it wants a kick for them.
    #[inline]
    #[must_use = "a device that sleeps has to be kicked"]
    pub fn publish(&mut self) -> bool {
        match &mut self.format {
            Format::Split(ring) => ring.publish(),
            Format::Packed(ring) => ring.publish(),
        }
    }

    /// Takes back chains into the first places of `into`; returns how many.
    ///
    /// # Errors
    /// [`DeviceError`] when the next chain to take back is none. What came before was returned by
    /// an earlier call.
    #[inline]
    pub fn collect(&mut self, into: &mut [Returned]) -> Result<usize, DeviceError> {
        match &mut self.format {
            Format::Split(ring) => ring.collect(into),
            Format::Packed(ring) => ring.collect(into),
        }
    }

    /// Asks for a call for the next chain that comes back, and returns whether there already is one:
    /// the caller may sleep only if not.
    #[must_use = "whoever sleeps although a chain has come back may sleep for ever"]
    pub fn watch(&mut self) -> bool {
        match &mut self.format {
            Format::Split(ring) => ring.watch(),
            Format::Packed(ring) => ring.watch(),
        }
    }

    /// Asks for no calls. One may come nevertheless.
    pub fn unwatch(&mut self) {
        match &mut self.format {
            Format::Split(ring) => ring.unwatch(),
            Format::Packed(ring) => ring.unwatch(),
        }
    }
}

#[cfg(test)]
mod tests;
