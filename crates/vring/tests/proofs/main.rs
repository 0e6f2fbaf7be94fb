//! Proofs of both sides of a queue against each other, against a naive queue, against another
//! implementation, and against drivers that write what they like.
//!
//! The index protocol itself is walked through by loom: `src/sync/tests.rs`.

mod dirty;
mod hostile;
mod killed;
mod model;
mod rig;
mod second_opinion;
mod sleepers;
mod torn;
