use std::os::fd::OwnedFd;

use rustix::io::{pread, pwrite};

use super::*;
use crate::batch::Batch;
use crate::driver::{Arena, Buffer, Driver, Setup};
use crate::features::Features;
use crate::memory::{GuestAddress, Region, UserAddress};
use crate::queue::{Position, Queue, StartError};

const SIZE: u16 = 4;
const GUEST: u64 = 0x10_0000;

/// A driver with chains on offer, and the in-flight file of its device.
struct Rig {
    arena: Arena,
    driver: Driver,
    file: OwnedFd,
    shape: Shape,
}

impl Rig {
    /// Offers chains of one, two, and one descriptor.
    fn new(format: Format) -> Self {
        let features = match format {
            Format::Split => Features::VERSION_1,
            Format::Packed => Features::VERSION_1 | Features::RING_PACKED,
        };
        let region = Region {
            guest: GuestAddress(GUEST),
            user: UserAddress(GUEST),
            size: 1 << 20,
        };
        let mut arena = Arena::new(region).unwrap();
        let setup = Setup {
            size: SIZE,
            features,
            table: 0,
        };
        let mut driver = Driver::new(&mut arena, setup).unwrap();
        for (token, buffers) in [(0, 1), (1, 2), (2, 1)] {
            let chain: Vec<Buffer> = (0..buffers).map(|at| buffer(token, at)).collect();
            driver.offer(&chain, &[], token).unwrap();
        }
        let _wanted = driver.publish();
        let shape = Shape {
            queues: 2,
            queue_size: SIZE,
            format,
        };
        let (file, _) = InflightArea::create(shape).unwrap();
        Self {
            arena,
            driver,
            file,
            shape,
        }
    }

    /// A device as a new process would start it.
    fn start(&self) -> Result<Queue, StartError> {
        let area = InflightArea::open(&self.file, 0, self.shape.bytes(), self.shape).unwrap();
        let position = match self.shape.format {
            Format::Split => Position::split(0),
            Format::Packed => Position::PACKED_START,
        };
        Queue::start(
            self.driver.layout(),
            self.driver.features(),
            self.arena.memory(),
            position,
            area.queue(1),
        )
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.shape.bytes()).unwrap()];
        assert_eq!(pread(&self.file, &mut bytes, 0), Ok(bytes.len()));
        bytes
    }

    /// The second queue's region.
    fn region(&self) -> Vec<u8> {
        let bytes = self.bytes();
        bytes[bytes.len() / 2..].to_vec()
    }

    fn poke(&self, offset: usize, bytes: &[u8]) {
        let at = self.shape.bytes() / 2 + offset as u64;
        assert_eq!(pwrite(&self.file, bytes, at), Ok(bytes.len()));
    }
}

fn buffer(token: u32, at: u32) -> Buffer {
    Buffer {
        address: GuestAddress(GUEST + 0x8_0000 + u64::from(token) * 0x1000 + u64::from(at) * 0x100),
        len: 16 * (token + 1),
    }
}

fn lens(batch: &Batch) -> Vec<u32> {
    let chains = batch.chains();
    chains.map(|chain| chain.readable().len()).collect()
}

/// Numbers of 16 bits in the region's bytes.
fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

#[test]
fn areas_are_as_long_as_other_back_ends_make_them() {
    let bytes = |queues, queue_size, format| {
        let shape = Shape {
            queues,
            queue_size,
            format,
        };
        shape.bytes()
    };
    // 16 and 16 for each descriptor, or 32 and 32, to the next multiple of 64.
    assert_eq!(bytes(1, 256, Format::Split), 4160);
    assert_eq!(bytes(2, 256, Format::Split), 8320);
    assert_eq!(bytes(1, 256, Format::Packed), 8256);
    assert_eq!(bytes(1, 1, Format::Split), 64);
}

#[test]
fn impossible_areas_are_refused() {
    let shape = |queues, queue_size| Shape {
        queues,
        queue_size,
        format: Format::Split,
    };
    for (queues, size) in [(0, 256), (1025, 256), (1, 0), (1, 32_769)] {
        let refused = InflightArea::create(shape(queues, size)).err();
        assert_eq!(refused, Some(InflightError::Shape { queues, size }));
    }
    let (file, area) = InflightArea::create(shape(1, 256)).unwrap();
    assert!(area.queue(1).is_none());
    let open = |offset, bytes| InflightArea::open(&file, offset, bytes, shape(1, 256)).err();
    let too_short = InflightError::TooShort {
        given: 4159,
        needed: 4160,
    };
    assert_eq!(open(0, 4159), Some(too_short));
    assert_eq!(open(4, 4160), Some(InflightError::Misaligned));
    assert!(matches!(open(8, 4160), Some(InflightError::Memory(_))));
    assert_eq!(open(0, u64::MAX), None);
}

#[test]
fn a_region_that_does_not_fit_the_queue_is_refused() {
    for format in [Format::Split, Format::Packed] {
        let mut rig = Rig::new(format);
        rig.shape.format = match format {
            Format::Split => Format::Packed,
            Format::Packed => Format::Split,
        };
        rig.shape.queues = 1;
        rig.shape.queue_size = 1;
        let area = InflightArea::open(&rig.file, 0, 64, rig.shape);
        let started = |area: InflightArea| {
            let position = Position::PACKED_START;
            let (driver, memory) = (&rig.driver, rig.arena.memory());
            let region = area.queue(0);
            Queue::start(driver.layout(), driver.features(), memory, position, region).err()
        };
        assert_eq!(
            started(area.unwrap()),
            Some(StartError::Inflight(InflightError::Format))
        );
        rig.shape.format = format;
        let area = InflightArea::open(&rig.file, 0, 64, rig.shape);
        let size = InflightError::Size {
            region: 1,
            queue: SIZE,
        };
        let started = {
            let position = Position::PACKED_START;
            let (driver, memory) = (&rig.driver, rig.arena.memory());
            let region = area.unwrap().queue(0);
            Queue::start(driver.layout(), driver.features(), memory, position, region).err()
        };
        assert_eq!(started, Some(StartError::Inflight(size)));
    }
}

#[test]
fn a_split_region_says_what_is_in_flight() {
    let mut rig = Rig::new(Format::Split);
    let mut queue = rig.start().unwrap();
    let header = rig.region()[..16].to_vec();
    assert_eq!((word(&header, 8), word(&header, 10)), (1, SIZE));
    let mut batch = Batch::new(4);
    assert_eq!(queue.pop(&mut batch, 4), Ok(3));
    let heads: Vec<u16> = batch.chains().map(|chain| chain.id()).collect();
    for (counter, head) in (0u8..).zip(&heads) {
        let at = 16 + 16 * usize::from(*head);
        let entry = &rig.region()[at..at + 16];
        assert_eq!((entry[0], entry[8]), (1, counter));
    }
    queue.complete(&mut batch, 1..3);
    queue.publish();
    let region = rig.region();
    assert_eq!((word(&region, 12), word(&region, 14)), (heads[2], 2));
    let flags: Vec<u8> = heads
        .iter()
        .map(|head| region[16 + 16 * usize::from(*head)])
        .collect();
    assert_eq!(flags, [1, 0, 0]);
    assert_eq!(word(&region, 16 + 16 * usize::from(heads[2]) + 6), heads[1]);
    // The first queue's region is another's.
    assert_eq!(rig.bytes()[..128], [0; 128]);

    // The process dies here.
    let mut queue = rig.start().unwrap();
    assert!(queue.watch());
    assert_eq!(queue.pop(&mut batch, 4), Ok(1));
    assert_eq!(lens(&batch), [16]);
    assert_eq!(queue.unpop(&mut batch, 0), 1);
    assert_eq!(queue.pop(&mut batch, 4), Ok(1));
    queue.complete(&mut batch, 0..1);
    queue.publish();
    assert_eq!(queue.pop(&mut batch, 4), Ok(0));
    assert!(!queue.watch());
    let mut back = [Default::default(); 4];
    assert_eq!(rig.driver.collect(&mut back), Ok(3));
    assert_eq!(back[2].token, 0);
    assert_eq!(rig.driver.free(), SIZE);
}

#[test]
fn a_split_region_is_settled_after_death_within_a_publication() {
    let rig = Rig::new(Format::Split);
    let mut queue = rig.start().unwrap();
    let mut batch = Batch::new(4);
    queue.pop(&mut batch, 4).unwrap();
    let before = rig.region();
    queue.complete(&mut batch, 0..2);
    queue.publish();
    let heads: Vec<u16> = batch.chains().map(|chain| chain.id()).collect();
    // Dead after the used index was shown, and before anything was struck out.
    for head in &heads {
        rig.poke(16 + 16 * usize::from(*head), &[1]);
    }
    rig.poke(14, &before[14..16]);
    let mut queue = rig.start().unwrap();
    assert_eq!(queue.pop(&mut batch, 4), Ok(1));
    assert_eq!(lens(&batch), [48]);
}

#[test]
fn a_packed_region_records_whole_chains() {
    let mut rig = Rig::new(Format::Packed);
    let mut queue = rig.start().unwrap();
    let mut batch = Batch::new(4);
    assert_eq!(queue.pop(&mut batch, 4), Ok(3));
    let region = rig.region();
    assert_eq!((word(&region, 8), word(&region, 10)), (1, SIZE));
    // The second chain: entries 1 and 2.
    let entry = |at: usize| &region[32 + 32 * at..64 + 32 * at];
    assert_eq!(entry(1)[0], 1);
    assert_eq!(
        (word(entry(1), 2), word(entry(1), 4), word(entry(1), 6)),
        (2, 2, 2)
    );
    assert_eq!(entry(1)[8], 1);
    assert_eq!(entry(2)[0], 0);
    let (address, len) = (buffer(1, 1).address.0, buffer(1, 1).len);
    assert_eq!(entry(2)[20..24], len.to_ne_bytes());
    assert_eq!(entry(2)[24..32], address.to_ne_bytes());
    assert_eq!((word(&region, 12), word(&region, 14)), (SIZE, SIZE));

    // Out of order: the second and third are given back, which overwrites the first in the ring.
    queue.complete(&mut batch, 1..3);
    queue.publish();
    let region = rig.region();
    assert_eq!((word(&region, 16), word(&region, 18)), (3, 3));
    assert_eq!((region[20], region[21]), (1, 1));
    let mut back = [Default::default(); 4];
    assert_eq!(rig.driver.collect(&mut back), Ok(2));

    // The process dies here.
    let mut queue = rig.start().unwrap();
    assert_eq!(queue.pop(&mut batch, 4), Ok(1));
    assert_eq!(lens(&batch), [16]);
    queue.complete(&mut batch, 0..1);
    queue.publish();
    assert_eq!(queue.pop(&mut batch, 4), Ok(0));
    assert_eq!(rig.driver.collect(&mut back), Ok(1));
    assert_eq!(back[0].token, 0);
    assert_eq!(rig.driver.free(), SIZE);
}

#[test]
fn a_packed_publication_is_finished_or_undone() {
    for shown in [false, true] {
        let mut rig = Rig::new(Format::Packed);
        let mut queue = rig.start().unwrap();
        let mut batch = Batch::new(4);
        queue.pop(&mut batch, 4).unwrap();
        let old = rig.region();
        queue.complete(&mut batch, 0..3);
        if shown {
            queue.publish();
        } else {
            // All but the first used descriptor are in the ring by now; what would come next:
            rig.poke(12, &0u16.to_ne_bytes());
            rig.poke(16, &0u16.to_ne_bytes());
            rig.poke(20, &[0]);
        }
        // Dead before anything was struck out.
        for first in [0, 1, 3] {
            rig.poke(32 + 32 * first, &[1]);
        }
        rig.poke(14, &old[14..16]);
        rig.poke(18, &old[18..20]);
        rig.poke(21, &old[21..22]);
        let mut queue = rig.start().unwrap();
        let mut back = [Default::default(); 4];
        if shown {
            assert_eq!(queue.pop(&mut batch, 4), Ok(0));
            assert_eq!(rig.driver.collect(&mut back), Ok(3));
            continue;
        }
        assert_eq!(queue.pop(&mut batch, 4), Ok(3));
        assert_eq!(lens(&batch), [16, 64, 48]);
        // Those behind the first must not come to light with it.
        queue.complete(&mut batch, 0..1);
        queue.publish();
        assert_eq!(rig.driver.collect(&mut back), Ok(1));
        queue.complete(&mut batch, 1..3);
        queue.publish();
        assert_eq!(rig.driver.collect(&mut back), Ok(2));
        assert_eq!(rig.driver.free(), SIZE);
    }
}

#[test]
fn records_that_contradict_each_other_are_refused() {
    let refuse = |format, offset, bytes: &[u8]| {
        let rig = Rig::new(format);
        let mut queue = rig.start().unwrap();
        queue.pop(&mut Batch::new(4), 2).unwrap();
        rig.poke(offset, bytes);
        match rig.start() {
            Err(StartError::Inflight(error)) => error,
            _ => panic!("started with {bytes:?} at {offset}"),
        }
    };
    let (split, packed) = (Format::Split, Format::Packed);
    for format in [split, packed] {
        assert_eq!(refuse(format, 8, &[2, 0]), InflightError::Version(2));
        let size = InflightError::Size {
            region: 5,
            queue: SIZE,
        };
        assert_eq!(refuse(format, 10, &[5, 0]), size);
    }
    // A batch longer than the queue, and one that leads nowhere.
    assert!(matches!(
        refuse(split, 14, &[0, 9]),
        InflightError::Corrupt(_)
    ));
    assert_eq!(
        refuse(split, 12, &[77, 0, 0xff, 0xff]),
        InflightError::Corrupt(77)
    );
    // Places and entries that are not there, and lists that meet.
    assert_eq!(refuse(packed, 18, &[4, 0]), InflightError::Corrupt(4));
    assert_eq!(refuse(packed, 14, &[9, 0]), InflightError::Corrupt(9));
    let next = |entry: usize| 32 + 32 * entry + 2;
    assert_eq!(refuse(packed, next(3), &[3, 0]), InflightError::Corrupt(3));
    assert_eq!(refuse(packed, next(1), &[0, 0]), InflightError::Corrupt(0));
    assert_eq!(
        refuse(packed, next(1), &[50, 0]),
        InflightError::Corrupt(50)
    );
    let num = |entry: usize| 32 + 32 * entry + 6;
    assert_eq!(refuse(packed, num(1), &[0, 0]), InflightError::Corrupt(1));
    assert_eq!(refuse(packed, num(1), &[9, 9]), InflightError::Corrupt(1));
}
