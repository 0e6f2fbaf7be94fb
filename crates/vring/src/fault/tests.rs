use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::mmap;
use rustix::process::{Signal, getpid, kill_process};

use super::*;
use crate::memory::{GuestAddress, GuestMemory, Region, UserAddress};

/// Says to this binary, started again, which end to come to.
const END: &str = "VRING_FAULT_TEST";

fn ends(how: &str) -> ExitStatus {
    let binary = std::env::current_exe().unwrap();
    let mut child = Command::new(binary);
    child.args(["--exact", "fault::tests::comes_to_an_end", "--nocapture"]);
    child.env(END, how).output().unwrap().status
}

/// The child of the tests below; nothing by itself.
#[test]
fn comes_to_an_end() {
    let Ok(how) = std::env::var(END) else { return };
    install().unwrap();
    match how.as_str() {
        "sent" => kill_process(getpid(), Signal::BUS).unwrap(),
        "elsewhere" => {
            let file = memfd_create("elsewhere", MemfdFlags::CLOEXEC).unwrap();
            // SAFETY: a new mapping; reading behind the end of its file is the point.
            unsafe {
                let start = mmap(
                    ptr::null_mut(),
                    4096,
                    ProtFlags::READ,
                    MapFlags::SHARED,
                    file.as_fd(),
                    0,
                );
                start.unwrap().cast::<u8>().read_volatile();
            }
        }
        _ => {}
    }
}

#[test]
fn an_unrelated_fault_still_kills() {
    assert_eq!(ends("elsewhere").signal(), Some(7));
}

#[test]
fn a_signal_that_was_sent_still_kills() {
    assert_eq!(ends("sent").signal(), Some(7));
}

#[test]
fn the_child_itself_ends_well() {
    assert!(ends("").success());
}

#[test]
fn a_lost_mapping_reads_as_zeros_and_is_known() {
    install().unwrap();
    install().unwrap();
    let before = losses();
    let file = memfd_create("lost", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&file, 0x3000).unwrap();
    let region = Region {
        guest: GuestAddress(0),
        user: UserAddress(0),
        size: 0x3000,
    };
    let memory = GuestMemory::new().with_region(region, &file, 0).unwrap();
    memory.write(GuestAddress(0x2000), b"here").unwrap();
    assert!(memory.is_intact());
    ftruncate(&file, 0x1000).unwrap();
    let mut bytes = [1; 4];
    memory.read(GuestAddress(0x2000), &mut bytes).unwrap();
    assert_eq!(bytes, [0; 4]);
    assert!(!memory.is_intact());
    assert!(losses() > before);
    memory.write(GuestAddress(0x2ffc), b"gone").unwrap();
    drop(memory);

    // The next mapping that gets the place in the registry is not lost.
    let memory = GuestMemory::new().with_region(
        Region {
            size: 0x1000,
            ..region
        },
        &file,
        0,
    );
    assert!(memory.unwrap().is_intact());
}

#[test]
fn ranges_that_cannot_be_written_down_are_not_guarded() {
    let at = |address| NonNull::new(ptr::without_provenance_mut::<u8>(address)).unwrap();
    assert!(guard(at(0x1000), 0).is_none());
    assert!(guard(at(1 << 48), 4096).is_none());
    let too_long = usize::try_from(RANGE_MAX + UNIT).unwrap();
    assert!(guard(at(0x1000), too_long).is_none());
    let longest = usize::try_from(RANGE_MAX).unwrap();
    let mut held = guard(at(0x1000), longest).unwrap();
    assert!(!held.is_lost());
    held.release();
    held.release();
}
