//! From the hash of a key to the slots that may hold it: open addressing over buckets of one cache
//! line.
//!
//! An entry lives in the first bucket with room, from its home bucket on; every bucket it had to
//! pass counts it in `overflow`. A search ends at the first bucket that nobody passed, so removal
//! leaves no tombstones and the index never has to be rebuilt.

const BUCKET_SLOTS: usize = 12;
/// How many of a bucket's slots are taken, on average, when the table is full. Of the entries one in
/// thirty is then in another bucket than its own.
const BUCKET_FILL: u32 = 9;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Bucket {
    slots: [u32; BUCKET_SLOTS],
    /// Bits of the hash that do not choose the bucket; zero is an empty place. Few, because a
    /// bucket with more places saves more than a tag that is right more often.
    tags: [u8; BUCKET_SLOTS],
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

    /// The places with this tag.
    #[inline]
    fn with_tag(&self, tag: u8) -> Places {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = self.tags;
        let first = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        // Beyond the tags are bytes that equal none.
        let other = !tag;
        let second = u64::from_le_bytes([i, j, k, l, other, other, other, other]);
        let tags = u64::from(tag) * LOW_BITS;
        Places(zero_bytes(first ^ tags) | zero_bytes(second ^ tags) >> 1)
    }

    fn place(&self, tag: u8, mut is: impl FnMut(u32) -> bool) -> Option<usize> {
        self.with_tag(tag).find(|&at| is(self.slots[at]))
    }
}

/// The lowest bit of every byte.
const LOW_BITS: u64 = u64::MAX / 0xff;
/// All bits but the highest of every byte.
const NOT_HIGH_BITS: u64 = LOW_BITS * 0x7f;

/// The highest bit of every byte that is zero.
#[inline]
fn zero_bytes(word: u64) -> u64 {
    !(((word & NOT_HIGH_BITS) + NOT_HIGH_BITS) | word | NOT_HIGH_BITS)
}

/// Places of a bucket: in each byte the highest bit for one of the first eight, the second highest
/// for one of the others.
#[derive(Clone, Copy)]
struct Places(u64);

impl Iterator for Places {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(bit / 8 + (!bit & 1) * 8)
    }
}

/// The bucket that a search begins with, and the tag that is searched for.
#[derive(Clone, Copy)]
pub(super) struct Place {
    home: usize,
    tag: u8,
}

impl Place {
    /// That of no hash.
    pub(super) const NONE: Place = Place {
        home: usize::MAX,
        tag: 0,
    };
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

    /// Where [`find`](Index::find) begins to search for this hash.
    #[inline]
    pub(super) fn place(&self, hash: u64) -> Place {
        Place {
            home: self.home(hash),
            tag: tag(hash),
        }
    }

    /// A word of the bucket that is searched first, to be read ahead of need.
    #[inline]
    pub(super) fn touch(&self, place: Place) -> u64 {
        let bucket = self.buckets.get(place.home);
        bucket.map_or(0, |bucket| u64::from(bucket.overflow))
    }

    /// The slot that is most likely what a search from there finds, without a look at any entry.
    #[inline]
    pub(super) fn candidate(&self, place: Place) -> u32 {
        let Place { home, tag } = place;
        let Some(mut bucket) = self.buckets.get(home) else {
            return u32::MAX;
        };
        let mut found = bucket.with_tag(tag);
        if found.0 == 0 && bucket.overflow > 0 {
            bucket = &self.buckets[self.after(home)];
            found = bucket.with_tag(tag);
        }
        found.next().map_or(u32::MAX, |at| bucket.slots[at])
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

fn tag(hash: u64) -> u8 {
    let [low, ..] = hash.to_le_bytes();
    low.max(1)
}

#[cfg(test)]
mod tests;
