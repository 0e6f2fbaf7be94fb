//! Virtqueues, split and packed, served in the guest's own memory.
