use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU16, AtomicU64};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use super::*;

fn file(size: u64) -> OwnedFd {
    let file = memfd_create("memory", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&file, size).unwrap();
    file
}

fn region(guest: u64, user: u64, size: u64) -> Region {
    Region {
        guest: GuestAddress(guest),
        user: UserAddress(user),
        size,
    }
}

#[test]
fn impossible_regions_are_refused() {
    let file = file(0x4000);
    let add = |region, offset| {
        let memory = GuestMemory::new();
        let memory = memory.with_region(super::tests::region(0x1000, 0x9000, 0x1000), &file, 0);
        memory.unwrap().with_region(region, &file, offset).err()
    };
    let empty = region(0, 0, 0);
    assert_eq!(add(empty, 0), Some(MemoryError::Empty(empty)));
    for wraps in [
        region(u64::MAX - 0xfff, 0, 0x1000),
        region(0x1_0000, u64::MAX - 0xfff, 0x1000),
        region(1, 1, u64::MAX),
    ] {
        assert_eq!(add(wraps, 0), Some(MemoryError::Wraps(wraps)));
    }
    let fits = region(0x1_0000, 0x10_0000, 0x1000);
    assert_eq!(add(fits, u64::MAX - 1), Some(MemoryError::Wraps(fits)));
    for overlaps in [
        region(0x1fff, 0x10_0000, 1),
        region(0, 0x10_0000, 0x1001),
        region(0x1_0000, 0x9fff, 0x1000),
    ] {
        let refused = add(overlaps, 0);
        assert!(matches!(refused, Some(MemoryError::Overlap(_, _))));
    }
    let beyond = MemoryError::BeyondFile {
        file: 0x4000,
        end: 0x4001,
    };
    assert_eq!(
        add(region(0x1_0000, 0x10_0000, 0x1001), 0x3000),
        Some(beyond)
    );
    assert_eq!(add(region(0x2000, 0xa000, 0x1000), 0x3000), None);
    assert_eq!(add(region(0, 0x8000, 0x1000), 0), None);
}

#[test]
fn only_shared_memory_is_mapped() {
    let slow = File::open("/proc/self/status").unwrap();
    let refused = GuestMemory::new().with_region(region(0, 0, 1), slow.as_fd(), 0);
    assert_eq!(refused.err(), Some(MemoryError::NotSharedMemory(0x9fa0)));
}

#[test]
fn a_table_has_a_limit() {
    let file = file(0x1000);
    let mut memory = GuestMemory::new();
    for slot in 0..REGIONS_MAX as u64 {
        let at = region(slot << 12, slot << 12, 0x1000);
        memory = memory.with_region(at, &file, 0).unwrap();
    }
    let more = region(1 << 40, 1 << 40, 0x1000);
    let refused = memory.with_region(more, &file, 0);
    assert_eq!(refused.err(), Some(MemoryError::TooMany));
    assert_eq!(memory.regions().count(), REGIONS_MAX);
}

#[test]
fn a_removed_region_is_gone_from_the_new_table_only() {
    let file = file(0x2000);
    let (first, second) = (region(0, 0x5000, 0x1000), region(0x8000, 0x9000, 0x1000));
    let memory = GuestMemory::new().with_region(second, &file, 0x1000);
    let memory = memory.unwrap().with_region(first, &file, 0).unwrap();
    let unknown = region(0, 0x5000, 0xfff);
    let refused = memory.without_region(unknown);
    assert_eq!(refused.err(), Some(MemoryError::Unknown(unknown)));
    let less = memory.without_region(first).unwrap();
    assert_eq!(less.regions().collect::<Vec<_>>(), [second]);
    assert_eq!(memory.regions().collect::<Vec<_>>(), [first, second]);

    memory.write(GuestAddress(0x8000), b"one").unwrap();
    let (old, new) = (
        memory.span(GuestAddress(0x8000), 3).unwrap(),
        less.span(GuestAddress(0x8000), 3).unwrap(),
    );
    assert_eq!(old.as_ptr(), new.as_ptr());
    assert!(less.span(GuestAddress(0), 1).is_none());
    assert!(less.is(&less.clone()) && !less.is(&memory));
}

#[test]
fn bytes_lie_where_the_offset_says() {
    let file = file(0x3000);
    let whole = region(0, 0, 0x3000);
    let whole = GuestMemory::new().with_region(whole, &file, 0).unwrap();
    // An offset inside a page, as front ends give for a region inside a huge page.
    let part = region(0x10_0010, 0x20_0010, 0x1008);
    let part = GuestMemory::new().with_region(part, &file, 0x0ff0).unwrap();
    part.write(GuestAddress(0x10_0010), b"first").unwrap();
    part.write(GuestAddress(0x10_1014), b"last").unwrap();
    let mut bytes = [0; 5];
    whole.read(GuestAddress(0xff0), &mut bytes).unwrap();
    assert_eq!(&bytes, b"first");
    whole.read(GuestAddress(0x1ff3), &mut bytes).unwrap();
    assert_eq!(&bytes, b"\0last");
    for outside in [0x10_000f, 0x10_1018] {
        assert!(part.read(GuestAddress(outside), &mut [0]).is_err());
    }
    assert!(part.write(GuestAddress(0x10_1014), b"last!").is_err());
    assert!(part.span(GuestAddress(0x10_0010), 0x1009).is_none());
    let user = part.guest_address(UserAddress(0x20_1017));
    assert_eq!(user, Some(GuestAddress(0x10_1017)));
    assert_eq!(part.guest_address(UserAddress(0x20_1018)), None);
}

#[test]
fn ranges_go_on_in_an_adjacent_region() {
    let (low, high) = (file(0x1000), file(0x1000));
    let memory = GuestMemory::new().with_region(region(0x1000, 0x5000, 0x1000), &low, 0);
    let memory = memory.unwrap();
    let memory = memory.with_region(region(0x2000, 0x9000, 0x1000), &high, 0);
    let memory = memory.unwrap();
    memory.write(GuestAddress(0x1ffe), b"across").unwrap();
    let mut bytes = [0; 6];
    memory.read(GuestAddress(0x1ffe), &mut bytes).unwrap();
    assert_eq!(&bytes, b"across");
    memory.read(GuestAddress(0x2000), &mut bytes).unwrap();
    assert_eq!(&bytes, b"ross\0\0");
    assert!(memory.span(GuestAddress(0x1ffe), 6).is_none());
    assert!(memory.read(GuestAddress(0x2ffe), &mut bytes).is_err());
    memory.read(GuestAddress(0x9999), &mut []).unwrap();
}

#[test]
fn copies_stay_inside_their_spans() {
    let file = file(0x1000);
    let memory = GuestMemory::new().with_region(region(0, 0, 0x1000), &file, 0);
    let memory = memory.unwrap();
    let span = memory.span(GuestAddress(16), 8).unwrap();
    span.write(0, b"12345678").unwrap();
    assert_eq!(span.write(1, b"12345678"), Err(OutOfSpan));
    assert_eq!(span.read(usize::MAX, &mut [0]), Err(OutOfSpan));
    assert_eq!(span.read(8, &mut []), Ok(()));
    assert_eq!(span.read(9, &mut []), Err(OutOfSpan));
    assert_eq!(span.copy_to(4, span, 5, 4), Err(OutOfSpan));
    // Source and target may be the same buffer.
    span.copy_to(0, span, 2, 6).unwrap();
    let mut bytes = [0; 8];
    span.read(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"12123456");
}

#[test]
fn cells_lie_in_one_region_and_are_aligned() {
    let file = file(0x1000);
    let memory = GuestMemory::new().with_region(region(0x4_0000, 0x1000, 0x1000), &file, 0);
    let memory = memory.unwrap();
    let at = |address, count| {
        let cells = memory.cells::<[AtomicU64; 2]>(UserAddress(address), count);
        cells.map(|cells| cells.len()).err()
    };
    assert_eq!(at(0x1000, 256), None);
    assert_eq!(at(0x1000, 257), Some(CellsError::Outside));
    assert_eq!(at(0x1000, 0), Some(CellsError::Outside));
    assert_eq!(at(0x1000, usize::MAX), Some(CellsError::Outside));
    assert_eq!(at(0x1004, 1), Some(CellsError::Misaligned));
    assert_eq!(at(0x0fff, 1), Some(CellsError::Outside));
    let five = memory.cells::<AtomicU16>(UserAddress(0x1000), 5).unwrap();
    assert!(five.get(4).is_some() && five.get(5).is_none());
    // Of five, four make a ring.
    assert!(std::ptr::eq(five.wrapping(7), five.get(3).unwrap()));
    assert!(std::ptr::eq(five.first(), five.wrapping(4)));
    let place = five.segment(3).unwrap();
    assert_eq!(memory.address_of(place), Some(GuestAddress(0x4_0006)));
}
