//! Two guests and the device between them.

use std::error::Error;

use vring::batch::Batch;
use vring::broken::Broken;
use vring::driver::{Arena, Buffer, DeviceError, Driver, Returned, Setup, Side};
use vring::features::Features;
use vring::memory::{GuestAddress, Region, UserAddress};
use vring::queue::{Position, Queue};

/// Bytes of a virtio-net header (virtio 1.2, section 5.1.6).
const HEADER: u32 = 12;

/// Bytes from one buffer to the next: a frame's, headroom, and a cache line so that buffers do not all
/// begin in the same set of a cache.
const BUFFER_STEP: u64 = 2048 + 64;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) packed: bool,
    pub(crate) in_order: bool,
    /// Bytes of a packet, without its header.
    pub(crate) len: u32,
    /// Packets that a side handles at once.
    pub(crate) batch: usize,
}

impl Case {
    fn features(self) -> Features {
        let set = |wanted, feature| if wanted { feature } else { Features::default() };
        Features::VERSION_1
            | set(self.packed, Features::RING_PACKED)
            | set(self.in_order, Features::IN_ORDER)
    }

    /// Format, order, bytes and batch, as `--only` takes them.
    pub(crate) fn name(self) -> String {
        let Self { len, batch, .. } = self;
        format!("{}/{}/{len}/{batch}", self.format(), self.order())
    }

    pub(crate) fn format(self) -> &'static str {
        if self.packed { "packed" } else { "split" }
    }

    pub(crate) fn order(self) -> &'static str {
        if self.in_order { "in-order" } else { "any" }
    }
}

/// One guest's memory, and one queue of it.
struct Guest {
    arena: Arena,
    driver: Driver,
    buffers: Vec<Buffer>,
    free: Vec<u32>,
    back: Vec<Returned>,
    side: Side,
}

impl Guest {
    fn new(case: Case, size: u16, side: Side, len: u32) -> Result<Self, Box<dyn Error>> {
        let places = u64::from(size);
        let bytes = places * (BUFFER_STEP + 64) + (1 << 16);
        let mut arena = Arena::new(Region {
            guest: GuestAddress(0x1_0000_0000),
            user: UserAddress(0x7f00_0000_0000),
            size: bytes.next_multiple_of(4096),
        })?;
        let features = case.features();
        let setup = Setup {
            size,
            features,
            table: 0,
        };
        let mut driver = Driver::new(&mut arena, setup)?;
        driver.unwatch();
        let mut buffers = Vec::new();
        for _ in 0..size {
            let address = arena.take(BUFFER_STEP, 64)?;
            buffers.push(Buffer { address, len });
        }
        Ok(Self {
            arena,
            driver,
            buffers,
            free: (0..u32::from(size)).rev().collect(),
            back: vec![Returned::default(); case.batch],
            side,
        })
    }

    fn queue(&self) -> Result<Queue, Box<dyn Error>> {
        let (layout, features) = (self.driver.layout(), self.driver.features());
        let position = if features.has(Features::RING_PACKED) {
            Position::PACKED_START
        } else {
            Position::split(0)
        };
        let mut queue = Queue::start(layout, features, self.arena.memory(), position, None)?;
        queue.unwatch();
        Ok(queue)
    }

    /// Offers up to a batch of free buffers, then takes back up to a batch.
    #[inline(always)]
    fn turn(&mut self) -> Result<usize, DeviceError> {
        let count = self.free.len().min(self.back.len());
        let from = self.free.len() - count;
        let buffers = &self.buffers;
        let singles = self.free[from..]
            .iter()
            .map(|token| (buffers[*token as usize], *token));
        let taken = self.driver.offer_each(self.side, singles);
        // As many are free as the queue has room for.
        debug_assert_eq!(taken, count);
        self.free.truncate(self.free.len() - taken);
        let _kick = self.driver.publish();
        let count = self.driver.collect(&mut self.back)?;
        let back = self.back[..count].iter().map(|returned| returned.token);
        self.free.extend(back);
        Ok(count)
    }
}

/// The guest that sends and the one that receives, on one thread.
pub(crate) struct Guests {
    sender: Guest,
    receiver: Guest,
    len: u32,
    received: u64,
}

impl Guests {
    pub(crate) fn size(&self) -> u16 {
        self.sender.driver.layout().size
    }

    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// A batch of both; how many packets were received.
    #[inline(never)]
    pub(crate) fn turn(&mut self) -> Result<usize, Box<dyn Error>> {
        let count = self.receiver.turn()?;
        if let Some(first) = self.receiver.back[..count].first()
            && first.written != self.len
        {
            return Err(format!("{} bytes instead of {}", first.written, self.len).into());
        }
        self.sender.turn()?;
        self.received += count as u64;
        Ok(count)
    }

    /// Whether the last packets received are the ones that were sent.
    pub(crate) fn check(&self) -> Result<(), Box<dyn Error>> {
        for returned in &self.receiver.back {
            let mut bytes = vec![0; self.len as usize];
            let buffer = self.receiver.buffers[returned.token as usize];
            self.receiver
                .arena
                .memory()
                .read(buffer.address, &mut bytes)?;
            if bytes != packet(self.len) {
                return Err("packet arrived changed".into());
            }
        }
        Ok(())
    }
}

/// The device's side of both queues.
pub(crate) struct Wire {
    from_guest: Queue,
    to_guest: Queue,
    packets: Batch,
    room: Batch,
    batch: usize,
}

impl Wire {
    /// Moves up to a batch of packets; how many.
    #[inline(never)]
    pub(crate) fn device_turn(&mut self) -> Result<usize, Broken> {
        let Self { packets, room, .. } = self;
        let count = self.from_guest.pop(packets, self.batch)?;
        if count == 0 {
            return Ok(0);
        }
        let places = self.to_guest.pop(room, count)?;
        let mut moved = 0;
        while let (Some(packet), Some(place)) = (packets.chain(moved), room.chain(moved)) {
            let (packet, place) = (packet.readable(), place.writable());
            let len = packet.len();
            if packet.copy_to(0, place, 0, len as usize).is_err() {
                break;
            }
            room.set_written(moved, len);
            moved += 1;
        }
        self.from_guest.complete(packets, 0..moved);
        self.to_guest.complete(room, 0..moved);
        if moved < count {
            self.from_guest.unpop(packets, moved);
        }
        if moved < places {
            self.to_guest.unpop(room, moved);
        }
        let _calls = (self.to_guest.publish(), self.from_guest.publish());
        Ok(moved)
    }
}

/// Both guests with full buffers and the device before them.
pub(crate) fn set_up(case: Case, size: u16) -> Result<(Guests, Wire), Box<dyn Error>> {
    let len = HEADER + case.len;
    let sender = Guest::new(case, size, Side::Readable, len)?;
    let receiver = Guest::new(case, size, Side::Writable, len.max(2048))?;
    for buffer in &sender.buffers {
        let memory = sender.arena.memory();
        memory.write(buffer.address, &packet(len))?;
    }
    let wire = Wire {
        from_guest: sender.queue()?,
        to_guest: receiver.queue()?,
        packets: Batch::new(case.batch),
        room: Batch::new(case.batch),
        batch: case.batch,
    };
    let guests = Guests {
        sender,
        receiver,
        len,
        received: 0,
    };
    Ok((guests, wire))
}

fn packet(len: u32) -> Vec<u8> {
    (0..len).map(|at| at.to_le_bytes()[0] ^ 0x5a).collect()
}
