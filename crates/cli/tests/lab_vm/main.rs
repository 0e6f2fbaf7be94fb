//! The product on the kernel that the distribution ships, in virtual machines.
//!
//! QEMU emulates the processor as well, so neither KVM nor root is needed, and nothing of this
//! machine's network is touched. `cargo xtask vm-image` makes the kernel and the images, which the
//! tests see to. A test that cannot run says so, and is listed in the file that
//! `CLEARWAY_SKIPPED_FILE` names.

mod image;
mod lab_guest;
mod lab_two_hosts;
mod transfer;
mod two_hosts;
mod vm;
