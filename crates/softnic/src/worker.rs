//! Workers: threads that do nothing but serve queues, each to completion.

pub mod bucket;
pub mod pace;
pub mod placement;
