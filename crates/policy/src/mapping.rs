//! Where customer addresses live: a hash table in shards, of which a changed copy shares all but
//! those it changes.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::error::CompileError;
use crate::input::{MappingInput, MappingTarget, VnetId};
use crate::providers::Providers;

/// A change of one mapping: the address's new target, or none when it is gone.
pub type MappingChange = (VnetId, IpAddr, Option<MappingTarget>);

/// What a mapping's version is kept by: a hash of the network and the address.
///
/// Addresses that fall into one slot share its version. So a change may make flows of other
/// addresses stale, too: they are simulated again, with the same outcome. It never leaves a flow of
/// the changed address fresh.
///
/// The hash is part of the format of stored flows: it has no seed and stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MappingSlot(pub u32);

impl MappingSlot {
    /// How many slots there are.
    pub const COUNT: u32 = 1 << 16;

    /// The slot of an address of a network.
    #[inline]
    pub fn of(vnet: VnetId, address: IpAddr) -> MappingSlot {
        let (high, low, family) = halves(address);
        let mixed = folded(low ^ 0x9e37_79b9_7f4a_7c15, high ^ 0xd1b5_4a32_d192_ed03);
        let place = u64::from(vnet.0) | family << 32;
        let mixed = folded(mixed ^ place, 0x8cb9_2ba7_2f3d_8dd7);
        MappingSlot((mixed >> 48) as u32)
    }

    fn index(self) -> usize {
        self.0 as usize
    }
}

/// Groups of shards, and shards of a group. 64 x 64: copying a path costs 128 reference counts and
/// one shard, which at a million mappings has 244 of them.
const FAN_OUT: usize = 64;

/// Slots whose mappings share a shard.
const SLOTS_PER_SHARD: usize = MappingSlot::COUNT as usize / (FAN_OUT * FAN_OUT);

/// All mappings, with the version of every slot.
#[derive(Clone, Debug)]
pub(crate) struct MappingTable {
    groups: Box<[Arc<Group>]>,
    /// Spreads entries within a shard; seeded by chance, because tenants choose addresses.
    hasher: RandomState,
    len: usize,
    providers: Providers,
}

#[derive(Clone, Debug)]
struct Group {
    shards: [Arc<Shard>; FAN_OUT],
}

#[derive(Clone, Debug, Default)]
struct Shard {
    entries: HashTable<MappingInput>,
    versions: [u32; SLOTS_PER_SHARD],
}

impl MappingTable {
    /// No mappings; every slot has version zero.
    pub(crate) fn new() -> MappingTable {
        let shard = Arc::new(Shard::default());
        let group = Arc::new(Group {
            shards: std::array::from_fn(|_| Arc::clone(&shard)),
        });
        let groups = vec![group; FAN_OUT].into();
        MappingTable {
            groups,
            hasher: RandomState::default(),
            len: 0,
            providers: Providers::default(),
        }
    }

    /// How many mappings there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The slot of an address, its version, and the address's target.
    #[inline]
    pub(crate) fn get(
        &self,
        vnet: VnetId,
        address: IpAddr,
    ) -> (MappingSlot, u32, Option<MappingTarget>) {
        let slot = MappingSlot::of(vnet, address);
        let shard = self.shard(slot.index() / SLOTS_PER_SHARD);
        let target = shard
            .find(self.hash(vnet, address), vnet, address)
            .map(|found| found.target);
        (slot, shard.versions[slot.index() % SLOTS_PER_SHARD], target)
    }

    /// A slot's version; that of no slot is zero.
    #[inline]
    pub(crate) fn version(&self, slot: MappingSlot) -> u32 {
        if slot.0 >= MappingSlot::COUNT {
            return 0;
        }
        self.shard(slot.index() / SLOTS_PER_SHARD).versions[slot.index() % SLOTS_PER_SHARD]
    }

    /// All slots with their versions.
    pub(crate) fn versions(&self) -> impl Iterator<Item = (MappingSlot, u32)> + '_ {
        let shards = self.groups.iter().flat_map(|group| group.shards.iter());
        let versions = shards.flat_map(|shard| shard.versions);
        (0..).map(MappingSlot).zip(versions)
    }

    /// The slots whose version is not the same in `older`. Shared parts cost nothing.
    pub(crate) fn changed_slots(&self, older: &MappingTable) -> Vec<(MappingSlot, u32)> {
        let mut changed = Vec::new();
        for index in 0..FAN_OUT * FAN_OUT {
            let group = index / FAN_OUT;
            if Arc::ptr_eq(&self.groups[group], &older.groups[group]) {
                continue;
            }
            let (new, old) = (self.shard(index), older.shard(index));
            let first = (0..)
                .step_by(SLOTS_PER_SHARD)
                .nth(index)
                .unwrap_or_default();
            let versions = (first..)
                .map(MappingSlot)
                .zip(new.versions.iter().zip(&old.versions));
            changed.extend(
                versions
                    .filter(|(_, (a, b))| a != b)
                    .map(|(slot, (a, _))| (slot, *a)),
            );
        }
        changed
    }

    /// This table with changes made, in their order. Every slot in which one had an effect gets the
    /// next version; what has no effect costs no copy.
    pub(crate) fn with_changes(&self, changes: &[MappingChange]) -> MappingTable {
        let mut table = self.clone();
        let mut touched = Vec::new();
        for &(vnet, address, target) in changes {
            let (slot, _, current) = table.get(vnet, address);
            if current == target {
                continue;
            }
            touched.push(slot);
            table.providers.follow(vnet, current, target);
            let hash = table.hash(vnet, address);
            table.len = table.len + usize::from(target.is_some()) - usize::from(current.is_some());
            table
                .shard_mut(slot)
                .set(hash, vnet, address, target, &self.hasher);
        }
        touched.sort_unstable();
        touched.dedup();
        for slot in touched {
            table
                .shard_mut(slot)
                .advance(slot.index() % SLOTS_PER_SHARD, 1);
        }
        table
    }

    /// A table of exactly `mappings`, to follow this one: slots in which nothing changed keep their
    /// version and, where possible, their memory; the others get the next. All versions skip
    /// `skipped` numbers besides.
    pub(crate) fn replaced(
        &self,
        mappings: &[MappingInput],
        skipped: u32,
    ) -> Result<MappingTable, CompileError> {
        let (shards, len, providers) = self.filled(mappings)?;
        let mut shards = shards.into_iter();
        let groups = self.groups.iter().map(|old| {
            let shards = old.shards.each_ref().map(|old| {
                let new = shards.next().unwrap_or_default();
                let following = self.following(old, new, skipped);
                following.map_or_else(|| Arc::clone(old), Arc::new)
            });
            let mut pairs = shards.iter().zip(&old.shards);
            let same = pairs.all(|(new, old)| Arc::ptr_eq(new, old));
            if same {
                Arc::clone(old)
            } else {
                Arc::new(Group { shards })
            }
        });
        let groups = groups.collect();
        Ok(MappingTable {
            groups,
            hasher: self.hasher.clone(),
            len,
            providers,
        })
    }

    /// On which hosts each network has NICs.
    pub(crate) fn providers(&self) -> &Providers {
        &self.providers
    }

    /// Bytes on the heap.
    pub(crate) fn memory_bytes(&self) -> usize {
        let shards = FAN_OUT * FAN_OUT;
        let entries = (0..shards).map(|index| self.shard(index).entries.allocation_size());
        let fixed = shards * size_of::<Shard>() + FAN_OUT * size_of::<Group>();
        fixed + entries.sum::<usize>() + self.providers.memory_bytes()
    }

    fn hash(&self, vnet: VnetId, address: IpAddr) -> u64 {
        let (high, low, _) = halves(address);
        self.hasher.hash_one((vnet.0, low, high))
    }

    fn shard_arc(&self, index: usize) -> &Arc<Shard> {
        &self.groups[index / FAN_OUT].shards[index % FAN_OUT]
    }

    fn shard(&self, index: usize) -> &Shard {
        self.shard_arc(index)
    }

    fn shard_mut(&mut self, slot: MappingSlot) -> &mut Shard {
        let index = slot.index() / SLOTS_PER_SHARD;
        let group = Arc::make_mut(&mut self.groups[index / FAN_OUT]);
        Arc::make_mut(&mut group.shards[index % FAN_OUT])
    }

    /// New shards with `mappings` in them, versions not yet set, how many there are, and where they
    /// lead.
    fn filled(
        &self,
        mappings: &[MappingInput],
    ) -> Result<(Vec<Shard>, usize, Providers), CompileError> {
        let shard_of = |mapping: &MappingInput| {
            MappingSlot::of(mapping.vnet, mapping.address).index() / SLOTS_PER_SHARD
        };
        let mut counts = vec![0; FAN_OUT * FAN_OUT];
        for mapping in mappings {
            counts[shard_of(mapping)] += 1;
        }
        let sized = |count| Shard {
            entries: HashTable::with_capacity(count),
            ..Shard::default()
        };
        let mut shards: Vec<Shard> = counts.into_iter().map(sized).collect();
        let mut len = 0;
        let mut providers = Providers::default();
        for mapping in mappings {
            let &MappingInput {
                vnet,
                address,
                target,
            } = mapping;
            let hash = self.hash(vnet, address);
            let shard = &mut shards[shard_of(mapping)];
            match shard.find(hash, vnet, address) {
                Some(known) if known.target == target => {}
                Some(_) => return Err(CompileError::ConflictingMapping { vnet, address }),
                None => {
                    shard.set(hash, vnet, address, Some(target), &self.hasher);
                    providers.follow(vnet, None, Some(target));
                    len += 1;
                }
            }
        }
        Ok((shards, len, providers))
    }

    /// `new` with versions that follow `old`'s; none when `old` itself will do.
    fn following(&self, old: &Shard, mut new: Shard, skipped: u32) -> Option<Shard> {
        let mut changed = [false; SLOTS_PER_SHARD];
        for (from, to) in [(&new, old), (old, &new)] {
            for entry in &from.entries {
                let hash = self.hash(entry.vnet, entry.address);
                if to.find(hash, entry.vnet, entry.address) != Some(entry) {
                    let slot = MappingSlot::of(entry.vnet, entry.address);
                    changed[slot.index() % SLOTS_PER_SHARD] = true;
                }
            }
        }
        if skipped == 0 && !changed.contains(&true) {
            return None;
        }
        new.versions = old.versions;
        for (index, changed) in changed.into_iter().enumerate() {
            new.advance(index, skipped.wrapping_add(u32::from(changed)));
        }
        Some(new)
    }
}

impl Shard {
    fn find(&self, hash: u64, vnet: VnetId, address: IpAddr) -> Option<&MappingInput> {
        self.entries
            .find(hash, |entry| entry.vnet == vnet && entry.address == address)
    }

    fn set(
        &mut self,
        hash: u64,
        vnet: VnetId,
        address: IpAddr,
        target: Option<MappingTarget>,
        hasher: &RandomState,
    ) {
        let same = |entry: &MappingInput| entry.vnet == vnet && entry.address == address;
        if let Ok(entry) = self.entries.find_entry(hash, same) {
            entry.remove();
        }
        let Some(target) = target else { return };
        let entry = MappingInput {
            vnet,
            address,
            target,
        };
        self.entries.insert_unique(hash, entry, |entry| {
            let (high, low, _) = halves(entry.address);
            hasher.hash_one((entry.vnet.0, low, high))
        });
    }

    /// Versions wrap around: what counts is that they differ.
    fn advance(&mut self, slot_of_shard: usize, by: u32) {
        let version = &mut self.versions[slot_of_shard];
        *version = version.wrapping_add(by);
    }
}

/// An address as two numbers, and its family.
fn halves(address: IpAddr) -> (u64, u64, u64) {
    match address {
        IpAddr::V4(v4) => (0, u64::from(v4.to_bits()), 4),
        IpAddr::V6(v6) => {
            let [a, b, c, d, e, f, g, h] = v6.segments().map(u64::from);
            (
                a << 48 | b << 32 | c << 16 | d,
                e << 48 | f << 32 | g << 16 | h,
                6,
            )
        }
    }
}

/// The halves of a product, folded onto each other.
fn folded(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the two halves of the product"
    )]
    let halves = (product as u64, (product >> 64) as u64);
    halves.0 ^ halves.1
}
