use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::pread;

use super::*;

/// A log of 8 bytes, which is 64 pages, behind 16 bytes of something else.
fn log() -> (OwnedFd, DirtyLog) {
    let file = memfd_create("log", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&file, 4096).unwrap();
    let log = DirtyLog::new(&file, 16, 8).unwrap();
    (file, log)
}

fn bytes(file: &OwnedFd) -> [u8; 32] {
    let mut bytes = [0; 32];
    assert_eq!(pread(file, &mut bytes, 0), Ok(32));
    bytes
}

#[test]
fn each_page_has_a_bit() {
    let (file, log) = log();
    log.mark(GuestAddress(0xfff), 1);
    log.mark(GuestAddress(0x8fff), 2);
    log.mark(GuestAddress(0x3_f000), 4096);
    let mut expected = [0; 32];
    expected[16] = 1;
    expected[17] = 0b11;
    expected[23] = 0x80;
    assert_eq!(bytes(&file), expected);
}

#[test]
fn nothing_is_marked_behind_the_log_or_for_no_bytes() {
    let (file, log) = log();
    log.mark(GuestAddress(0x1000), 0);
    log.mark(GuestAddress(0x4_0000), 4096);
    log.mark(GuestAddress(u64::MAX), u64::MAX);
    assert_eq!(bytes(&file), [0; 32]);
    log.mark(GuestAddress(0x3_ffff), u64::MAX);
    let mut expected = [0; 32];
    expected[23] = 0x80;
    assert_eq!(bytes(&file), expected);
}

#[test]
fn a_log_longer_than_its_file_is_refused() {
    let (file, _) = log();
    assert!(DirtyLog::new(&file, 0, 4097).is_err());
    assert!(DirtyLog::new(&file, 0, 0).is_err());
}
