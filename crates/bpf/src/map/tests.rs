use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use aya::maps::{HashMap, IterableMap, MapData};

use super::Map;

/// `BPF_F_NO_PREALLOC` (linux/bpf.h).
const NO_PREALLOC: u32 = 1;

/// The same map, held by a descriptor of its own.
fn same(map: &MapData) -> MapData {
    MapData::from_fd(map.fd().as_fd().try_clone_to_owned().unwrap()).unwrap()
}

/// A hash map of the given size, or None where the kernel lets nobody make one.
fn created(elements_max: u32, flags: u32) -> Option<HashMap<MapData, u32, u64>> {
    HashMap::create(elements_max, flags)
        .inspect_err(|error| skipped(&format!("no map can be made: {error}")))
        .ok()
}

/// Tells and notes that the running test, whose thread has its name, cannot run.
fn skipped(reason: &str) {
    let current = std::thread::current();
    let test = current.name().unwrap_or("map::tests");
    println!("skipped, because {reason}");
    if let Some(path) = std::env::var_os("CLEARWAY_SKIPPED_FILE") {
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| writeln!(file, "{test}\t{reason}"))
            .unwrap();
    }
}

fn contents(map: &Map<u32, u64>) -> BTreeMap<u32, u64> {
    let mut all = BTreeMap::new();
    map.for_each(|&key, &value| assert_eq!(all.insert(key, value), None, "shown twice"))
        .unwrap();
    all
}

/// Batches and the single operations that stand in for them must not differ.
fn both_ways(elements_max: u32, check: impl Fn(Map<u32, u64>)) {
    for refused in [false, true] {
        let Some(map) = created(elements_max, NO_PREALLOC) else {
            return;
        };
        let map = Map::new("test", same(IterableMap::map(&map))).unwrap();
        map.batches_refused.store(refused, Ordering::Relaxed);
        check(map);
    }
}

#[test]
fn what_is_written_is_found_and_shown_once() {
    both_ways(5000, |map| {
        let keys: Vec<u32> = (0..5000).collect();
        let values: Vec<u64> = keys.iter().map(|&key| u64::from(key) * 3).collect();
        assert!(map.update_all(&keys, &values).is_ok());
        assert_eq!(contents(&map), keys.iter().copied().zip(values).collect());
        assert_eq!(map.lookup(&4999).unwrap(), Some(14_997));
        assert_eq!(map.lookup(&5000).unwrap(), None);
    });
}

#[test]
fn an_update_that_does_not_fit_says_how_far_it_came() {
    both_ways(700, |map| {
        let keys: Vec<u32> = (0..1000).collect();
        let values = vec![1; keys.len()];
        let stopped = map.update_all(&keys, &values).unwrap_err();
        assert_eq!(stopped.done, 700);
        assert_eq!(stopped.error.raw_os_error(), Some(libc::E2BIG));
        assert_eq!(contents(&map).len(), 700);
        assert!(
            map.update_all(&keys[..700], &values[..700]).is_ok(),
            "replacing needs no room"
        );
    });
}

#[test]
fn taking_an_element_out_returns_its_last_value() {
    both_ways(8, |map| {
        map.update(&1, &10).unwrap();
        map.update(&2, &20).unwrap();
        assert_eq!(map.take(&1).unwrap(), Some(10));
        assert_eq!(map.take(&1).unwrap(), None);
        assert!(map.delete(&2).unwrap());
        assert!(!map.delete(&2).unwrap());
        assert_eq!(contents(&map), BTreeMap::new());
    });
}

#[test]
fn a_map_of_other_sizes_is_refused() {
    let Some(map) = created(8, NO_PREALLOC) else {
        return;
    };
    let map = IterableMap::map(&map);
    assert!(Map::<u32, u32>::new("test", same(map)).is_err());
    assert!(Map::<u64, u64>::new("test", same(map)).is_err());
    assert!(super::PerCpuArray::<u64>::new("test", same(map)).is_err());
    assert!(Map::<u32, u64>::new("test", same(map)).is_ok());
}
