//! Virtqueues, split and packed, served in the guest's own memory.
//!
//! The device's side of virtio 1.2 sections 2.7 (split) and 2.8 (packed), for a back end that has the
//! guest's memory mapped, as vhost-user gives it. Nothing here makes a system call per packet, takes a
//! lock, allocates or copies a payload of its own accord.
//!
//! # The way of a batch
//! 1. [`memory::GuestMemory`] is the table of what the front end shares; [`queue::Queue::start`] checks
//!    one queue's rings against it once.
//! 2. [`queue::Queue::pop`] fills a [`batch::Batch`] with chains whose segments are already translated
//!    and proven to lie in the guest's memory.
//! 3. The data path copies between [`batch::Segments`] of two guests' chains: one copy, no slice onto
//!    memory that a guest changes meanwhile.
//! 4. [`queue::Queue::complete`] writes used elements, [`queue::Queue::publish`] shows all of them
//!    with one release, and says whether the driver wants a call.
//!
//! # What a guest can do
//! Anything. Every index and descriptor is read once and checked; a contradiction stops this one queue
//! with a [`broken::Broken`], which names what was wrong and where. A front end may also truncate the
//! file under a mapping: see [`fault`].
//!
//! # Unsafe code
//! Four modules contain it, each block with its proof: [`memory`] (mappings and pointers into them),
//! [`fault`] (the signal handler), [`batch`] (translated segments, kept together with their table) and
//! [`inflight`] (records laid over mapped memory).
#![warn(missing_docs)]

mod sync;

pub mod batch;
pub mod broken;
pub mod dirty;
pub mod driver;
pub mod fault;
pub mod features;
pub mod inflight;
pub mod layout;
pub mod memory;
pub mod queue;
