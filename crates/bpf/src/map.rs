//! Maps with types: what [`crate::sys`] does with bytes, for keys and values of known layout.

use std::io;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};

use aya::maps::MapData;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::MapError;
use crate::sys::{Position, RawMap};

/// Elements per call: enough to forget the price of the call, little enough for a buffer.
const BATCH: usize = 512;

/// What lies in maps.
pub(crate) trait Cell: Copy + FromBytes + IntoBytes + Immutable {}

impl<T: Copy + FromBytes + IntoBytes + Immutable> Cell for T {}

/// A hash or array map.
pub(crate) struct Map<K, V> {
    name: &'static str,
    raw: RawMap,
    /// The kernel said no to a batch once; it will not change its mind.
    batches_refused: AtomicBool,
    types: PhantomData<fn(K) -> V>,
}

/// Where a walk over a map stands.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    position: Option<Position>,
    /// Whether everything has been shown.
    pub(crate) done: bool,
}

/// An update of several elements that stopped before the end.
pub(crate) struct Stopped {
    /// Elements written.
    pub(crate) done: usize,
    /// What happened to the next one.
    pub(crate) error: io::Error,
}

impl<K: Cell, V: Cell> Map<K, V> {
    /// A map of these types. The sizes are compared with the kernel's.
    pub(crate) fn new(name: &'static str, map: MapData) -> Result<Map<K, V>, MapError> {
        let raw = RawMap::new(map, None).map_err(|source| MapError { map: name, source })?;
        check_sizes(name, &raw, size_of::<K>(), size_of::<V>())?;
        Ok(Map {
            name,
            raw,
            batches_refused: AtomicBool::new(false),
            types: PhantomData,
        })
    }

    pub(crate) fn lookup(&self, key: &K) -> Result<Option<V>, MapError> {
        let mut value = V::new_zeroed();
        let found = self.raw.lookup(key.as_bytes(), value.as_mut_bytes());
        Ok(self.if_there(found)?.map(|()| value))
    }

    pub(crate) fn update(&self, key: &K, value: &V) -> Result<(), MapError> {
        self.raw
            .update(key.as_bytes(), value.as_bytes())
            .map_err(|source| self.error(source))
    }

    /// Takes an element out, and says whether it was in.
    pub(crate) fn delete(&self, key: &K) -> Result<bool, MapError> {
        let gone = self.raw.delete(key.as_bytes());
        Ok(self.if_there(gone)?.is_some())
    }

    /// Takes an element out and returns the value it had.
    pub(crate) fn take(&self, key: &K) -> Result<Option<V>, MapError> {
        let mut value = V::new_zeroed();
        let taken = self.raw.take(key.as_bytes(), value.as_mut_bytes());
        Ok(self.if_there(taken)?.map(|()| value))
    }

    /// Writes elements in order, replacing those of the same key, until one is refused.
    pub(crate) fn update_all(&self, keys: &[K], values: &[V]) -> Result<(), Stopped> {
        assert_eq!(keys.len(), values.len());
        let mut done = 0;
        for (keys, values) in keys.chunks(BATCH).zip(values.chunks(BATCH)) {
            self.update_chunk(keys, values).map_err(|stopped| Stopped {
                done: done + stopped.done,
                error: stopped.error,
            })?;
            done += keys.len();
        }
        Ok(())
    }

    /// Shows every element. Those that come or go meanwhile may or may not be among them.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&K, &V)) -> Result<(), MapError> {
        let mut walk = Walk::default();
        while !walk.done {
            self.step(&mut walk, &mut visit)?;
        }
        Ok(())
    }

    /// Shows some hundred elements, those that come next on the walk. A kernel that knows no
    /// batches shows them all at once.
    pub(crate) fn step(
        &self,
        walk: &mut Walk,
        visit: &mut impl FnMut(&K, &V),
    ) -> Result<(), MapError> {
        if self.batches_refused.load(Ordering::Relaxed) {
            walk.done = true;
            return self.for_each_single(visit);
        }
        let mut keys = vec![K::new_zeroed(); BATCH];
        let mut values = vec![V::new_zeroed(); BATCH];
        loop {
            let (before, count) = (walk.position, keys.len());
            let batch = self.raw.lookup_batch(
                &mut walk.position,
                keys.as_mut_bytes(),
                values.as_mut_bytes(),
                count,
            );
            let errno = batch.error.as_ref().and_then(io::Error::raw_os_error);
            match errno {
                None | Some(libc::ENOENT) => {}
                // A bucket longer than the buffer, which a full map of unlucky keys may have.
                Some(libc::ENOSPC) => {
                    walk.position = before;
                    keys.resize(keys.len() * 2, K::new_zeroed());
                    values.resize(values.len() * 2, V::new_zeroed());
                    continue;
                }
                Some(errno) if before.is_none() && is_refusal(errno) => {
                    self.batches_refused.store(true, Ordering::Relaxed);
                    walk.done = true;
                    return self.for_each_single(visit);
                }
                Some(errno) => return Err(self.error(io::Error::from_raw_os_error(errno))),
            }
            for (key, value) in keys.iter().zip(&values).take(batch.done) {
                visit(key, value);
            }
            walk.done = errno.is_some();
            return Ok(());
        }
    }

    fn update_chunk(&self, keys: &[K], values: &[V]) -> Result<(), Stopped> {
        if !self.batches_refused.load(Ordering::Relaxed) {
            let batch = self
                .raw
                .update_batch(keys.as_bytes(), values.as_bytes(), keys.len());
            match batch.error {
                None => return Ok(()),
                // The kernel counts when it has begun; a full count beside an error means that it
                // had not, and what it thinks of the elements is still to be heard.
                Some(error) if batch.done < keys.len() => {
                    return Err(Stopped {
                        done: batch.done,
                        error,
                    });
                }
                Some(error) if error.raw_os_error().is_some_and(is_refusal) => {
                    self.batches_refused.store(true, Ordering::Relaxed);
                }
                Some(_) => {}
            }
        }
        for (done, (key, value)) in keys.iter().zip(values).enumerate() {
            self.raw
                .update(key.as_bytes(), value.as_bytes())
                .map_err(|error| Stopped { done, error })?;
        }
        Ok(())
    }

    fn for_each_single(&self, visit: &mut impl FnMut(&K, &V)) -> Result<(), MapError> {
        let mut key: Option<K> = None;
        loop {
            let mut next = K::new_zeroed();
            let step = self
                .raw
                .next_key(key.as_ref().map(K::as_bytes), next.as_mut_bytes());
            if self.if_there(step)?.is_none() {
                return Ok(());
            }
            if let Some(value) = self.lookup(&next)? {
                visit(&next, &value);
            }
            key = Some(next);
        }
    }

    /// Absence is an answer, not an error.
    fn if_there(&self, result: io::Result<()>) -> Result<Option<()>, MapError> {
        match result {
            Ok(()) => Ok(Some(())),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(source) => Err(self.error(source)),
        }
    }

    pub(crate) fn error(&self, source: io::Error) -> MapError {
        MapError {
            map: self.name,
            source,
        }
    }
}

/// A per-CPU array: what every CPU counted in each cell.
pub(crate) struct PerCpuArray<V> {
    name: &'static str,
    raw: RawMap,
    cpus: usize,
    types: PhantomData<fn() -> V>,
}

impl<V: Cell> PerCpuArray<V> {
    /// A map of this type, whose size must be a multiple of eight bytes.
    pub(crate) fn new(name: &'static str, map: MapData) -> Result<PerCpuArray<V>, MapError> {
        const { assert!(size_of::<V>().is_multiple_of(8)) };
        let cpus = aya::util::nr_cpus().map_err(|(_, source)| MapError { map: name, source })?;
        let raw = RawMap::new(map, Some(cpus)).map_err(|source| MapError { map: name, source })?;
        check_sizes(name, &raw, size_of::<u32>(), size_of::<V>() * cpus)?;
        Ok(PerCpuArray {
            name,
            raw,
            cpus,
            types: PhantomData,
        })
    }

    /// The cell's value on each possible CPU.
    pub(crate) fn lookup(&self, index: u32) -> Result<Vec<V>, MapError> {
        let mut values = vec![V::new_zeroed(); self.cpus];
        self.raw
            .lookup(index.as_bytes(), values.as_mut_bytes())
            .map_err(|source| MapError {
                map: self.name,
                source,
            })?;
        Ok(values)
    }

    /// Zeroes a cell on all CPUs.
    pub(crate) fn clear(&self, index: u32) -> Result<(), MapError> {
        let values = vec![V::new_zeroed(); self.cpus];
        self.raw
            .update(index.as_bytes(), values.as_bytes())
            .map_err(|source| MapError {
                map: self.name,
                source,
            })
    }
}

/// How a kernel says that it does not do batches on a map, 524 being the `ENOTSUPP` that never
/// should have left it.
fn is_refusal(errno: i32) -> bool {
    matches!(errno, libc::EINVAL | libc::ENOTSUP | 524)
}

fn check_sizes(name: &'static str, raw: &RawMap, key: usize, value: usize) -> Result<(), MapError> {
    if (raw.key_size(), raw.value_size()) == (key, value) {
        return Ok(());
    }
    let source = io::Error::new(io::ErrorKind::InvalidData, "key or value of another size");
    Err(MapError { map: name, source })
}

#[cfg(test)]
mod tests;
