//! The program, one frame at a time: what is delivered, what is an exception, what is dropped.

mod bench;
mod frames;
mod judgement;
mod uplink;
mod uplink_refusals;
