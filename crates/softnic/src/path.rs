//! The way of frames between guests' rings: out of one guest's buffers, past the switch, into
//! another's, with one copy of what is not rewritten.
//!
//! A guest can change a frame while it is looked at. So its first bytes, with all that is judged and
//! rewritten, are copied out once ([`front`]), and what is delivered is that copy and, straight from
//! guest to guest, the rest.

mod adapt;
pub mod forward;
pub mod from_guest;
pub mod front;
pub mod to_guest;

#[cfg(test)]
pub(crate) mod fixture;
