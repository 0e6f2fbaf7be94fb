//! A guest in memory of ours, for tests: what its driver does, frame by frame.

pub(crate) mod world;

use vring::driver::{Arena, Buffer, Driver, Returned, Setup};
use vring::features::Features;
use vring::memory::{GuestAddress, Region, UserAddress};
use vring::queue::{Position, Queue};

/// Both queues of a guest's NIC, from the guest's side.
pub(crate) struct Guest {
    arena: Arena,
    sends: Driver,
    receives: Driver,
    /// The buffers that were sent.
    written: Vec<Buffer>,
    /// The receive buffers, by token.
    posted: Vec<Buffer>,
    next_token: u32,
}

const SIZE: u16 = 256;

impl Guest {
    /// A guest whose rings have these features, and the device's side of them: the queue it sends
    /// by, the queue it receives by.
    pub(crate) fn new(features: Features) -> (Guest, Queue, Queue) {
        let region = Region {
            guest: GuestAddress(0x10_0000),
            user: UserAddress(0x7f00_0000_0000),
            size: 32 << 20,
        };
        let mut arena = Arena::new(region).expect("memory");
        let setup = Setup {
            size: SIZE,
            features,
            table: 0,
        };
        let mut queue = || {
            let driver = Driver::new(&mut arena, setup).expect("a queue");
            let start = if features.has(Features::RING_PACKED) {
                Position::PACKED_START
            } else {
                Position::split(0)
            };
            let memory = arena.memory();
            let queue = Queue::start(driver.layout(), features, memory, start, None);
            (driver, queue.expect("a queue"))
        };
        let (sends, from_guest) = queue();
        let (receives, to_guest) = queue();
        let guest = Guest {
            arena,
            sends,
            receives,
            written: Vec::new(),
            posted: Vec::new(),
            next_token: 0,
        };
        (guest, from_guest, to_guest)
    }

    /// Sends bytes, virtio-net header included, in buffers of these lengths; the last takes what is
    /// left.
    pub(crate) fn send(&mut self, bytes: &[u8], cuts: &[usize]) {
        let mut rest = bytes;
        let mut buffers = Vec::new();
        for cut in cuts.iter().copied().chain([bytes.len()]) {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            if !now.is_empty() {
                buffers.push(self.buffer(now.len()));
                let at = buffers[buffers.len() - 1].address;
                self.arena.memory().write(at, now).expect("our own memory");
            }
            rest = later;
        }
        self.written.extend(&buffers);
        let token = self.next_token;
        self.next_token += 1;
        self.sends.offer(&buffers, &[], token).expect("room");
        let _kick = self.sends.publish();
    }

    /// How many of the frames that were sent have been taken and given back.
    pub(crate) fn sent(&mut self) -> usize {
        let mut returned = [Returned::default(); SIZE as usize];
        self.sends.collect(&mut returned).expect("a sound device")
    }

    /// Overwrites everything that was sent.
    pub(crate) fn scribble(&mut self, byte: u8) {
        for sent in &self.written {
            let bytes = vec![byte; sent.len as usize];
            let written = self.arena.memory().write(sent.address, &bytes);
            written.expect("our own memory");
        }
    }

    /// Offers buffers to receive in.
    pub(crate) fn post(&mut self, count: usize, len: usize) {
        for _ in 0..count {
            let buffer = self.buffer(len);
            let token = u32::try_from(self.posted.len()).expect("few");
            self.posted.push(buffer);
            self.receives.offer(&[], &[buffer], token).expect("room");
        }
        let _kick = self.receives.publish();
    }

    /// What came since the last call: the bytes of each buffer, in order.
    pub(crate) fn received(&mut self) -> Vec<Vec<u8>> {
        let mut returned = [Returned::default(); SIZE as usize];
        let count = self
            .receives
            .collect(&mut returned)
            .expect("a sound device");
        let bytes = |returned: &Returned| {
            let mut bytes = vec![0; returned.written as usize];
            let at = self.posted[returned.token as usize].address;
            self.arena
                .memory()
                .read(at, &mut bytes)
                .expect("our own memory");
            bytes
        };
        returned[..count].iter().map(bytes).collect()
    }

    fn buffer(&mut self, len: usize) -> Buffer {
        let address = self.arena.take(len as u64, 1).expect("room");
        let len = u32::try_from(len).expect("short");
        Buffer { address, len }
    }
}
