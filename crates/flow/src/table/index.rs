//! From the hash of a key to the slots that may hold it: open addressing over buckets of one cache
//! line.
//!
//! An entry lives in the first bucket with room, from its home bucket on; every bucket it had to
//! pass counts it in `overflow`. A search ends at the first bucket that nobody passed, so removal
//! leaves no tombstones and the index never has to be rebuilt.

const BUCKET_SLOTS: usize = 10;
/// How many of a bucket's slots are taken, on average, when the table is full.
const BUCKET_FILL: u32 = 9;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Bucket {
    slots: [u32; BUCKET_SLOTS],
    /// Bits of the hash that do not choose the bucket; zero is an empty place.
    tags: [u16; BUCKET_SLOTS],
    /// How many entries have passed this bucket because it was full.
    overflow: u32,
}

const _: () = assert!(size_of::<Bucket>() == 64);

impl Bucket {
    const EMPTY: Bucket = Bucket {
        slots: [0; BUCKET_SLOTS],
        tags: [0; BUCKET_SLOTS],
        overflow: 0,
    };

    fn place(&self, tag: u16, mut is: impl FnMut(u32) -> bool) -> Option<usize> {
        (0..BUCKET_SLOTS).find(|&at| self.tags[at] == tag && is(self.slots[at]))
    }
}

pub(super) struct Index {
    buckets: Box<[Bucket]>,
}

impl Index {
    /// Memory of the index per entry, of a table that is large enough for rounding not to matter.
    pub(super) const BYTES_PER_ENTRY: usize = size_of::<Bucket>().div_ceil(BUCKET_FILL as usize);

    pub(super) fn with_capacity(entries: u32) -> Index {
        let count = entries.div_ceil(BUCKET_FILL) as usize;
        Index {
            buckets: vec![Bucket::EMPTY; count].into_boxed_slice(),
        }
    }

    /// The slot with this hash for which `is` answers true.
    pub(super) fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let (mut at, tag) = (self.home(hash), tag(hash));
        for _ in 0..self.buckets.len() {
            let bucket = &self.buckets[at];
            if let Some(place) = bucket.place(tag, &mut is) {
                return Some(bucket.slots[place]);
            }
            if bucket.overflow == 0 {
                return None;
            }
            at = self.after(at);
        }
        None
    }

    /// Adds a slot. There must be fewer entries than the capacity, which is less than the places.
    pub(super) fn insert(&mut self, hash: u64, slot: u32) {
        let (mut at, tag) = (self.home(hash), tag(hash));
        loop {
            let bucket = &mut self.buckets[at];
            if let Some(place) = bucket.tags.iter().position(|&tag| tag == 0) {
                bucket.tags[place] = tag;
                bucket.slots[place] = slot;
                return;
            }
            bucket.overflow += 1;
            at = self.after(at);
        }
    }

    /// Takes out a slot that was added with this hash.
    pub(super) fn remove(&mut self, hash: u64, slot: u32) {
        let (mut at, tag) = (self.home(hash), tag(hash));
        loop {
            let bucket = &mut self.buckets[at];
            if let Some(place) = bucket.place(tag, |candidate| candidate == slot) {
                bucket.tags[place] = 0;
                return;
            }
            assert!(
                bucket.overflow > 0,
                "every entry of the table is in its index"
            );
            bucket.overflow -= 1;
            at = self.after(at);
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.buckets)
    }

    /// Scales the upper half of the hash to the number of buckets, which is any number.
    fn home(&self, hash: u64) -> usize {
        let scaled = u128::from(hash) * self.buckets.len() as u128;
        usize::try_from(scaled >> 64).expect("less than the number of buckets")
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 == self.buckets.len() {
            0
        } else {
            at + 1
        }
    }
}

fn tag(hash: u64) -> u16 {
    let [low, high, ..] = hash.to_le_bytes();
    u16::from_le_bytes([low, high]).max(1)
}

#[cfg(test)]
mod tests;
