//! Which NIC has which port. Numbers are kept across restarts, since devices and flows in the
//! kernel are known by them.

use std::collections::{BTreeMap, BTreeSet};

use flow::PortId;
use model::NicName;

/// More NICs than a host has ports for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a host has room for {max} NICs", max = PortId::MAX.0)]
pub(crate) struct NoPortLeft;

/// Gives every wanted NIC a port: the one it has, or else one that is free. Ports of NICs that are
/// no longer wanted are returned, and free from the next call on.
pub(crate) fn assign(
    held: &mut BTreeMap<NicName, PortId>,
    wanted: &BTreeSet<NicName>,
) -> Result<Vec<(NicName, PortId)>, NoPortLeft> {
    let taken: BTreeSet<u16> = held.values().map(|port| port.0).collect();
    let mut free = (1..=PortId::MAX.0).filter(|number| !taken.contains(number));
    let mut assigned = held.clone();
    for name in wanted {
        if !assigned.contains_key(name) {
            assigned.insert(name.clone(), PortId(free.next().ok_or(NoPortLeft)?));
        }
    }
    let gone = held.iter().filter(|(name, _)| !wanted.contains(name));
    let gone: Vec<_> = gone.map(|(name, port)| (name.clone(), *port)).collect();
    assigned.retain(|name, _| wanted.contains(name));
    *held = assigned;
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> BTreeSet<NicName> {
        list.iter()
            .map(|guest| NicName::of(guest, "nic0"))
            .collect()
    }

    #[test]
    fn ports_are_kept_and_not_reused_at_once() {
        let mut held = BTreeMap::new();
        assert_eq!(assign(&mut held, &names(&["a", "b"])), Ok(vec![]));
        let b = held[&NicName::of("b", "nic0")];
        let gone = assign(&mut held, &names(&["b", "c"])).expect("room");
        assert_eq!(gone, [(NicName::of("a", "nic0"), PortId(1))]);
        assert_eq!(held[&NicName::of("b", "nic0")], b);
        assert_eq!(
            held[&NicName::of("c", "nic0")],
            PortId(3),
            "port 1 is still being cleared"
        );
        assign(&mut held, &names(&["b", "c", "d"])).expect("room");
        assert_eq!(held[&NicName::of("d", "nic0")], PortId(1));
    }

    #[test]
    fn a_full_host_changes_nothing() {
        let mut held = BTreeMap::new();
        let many: BTreeSet<NicName> = (0..=PortId::MAX.0)
            .map(|n| NicName::of(&format!("g{n}"), "nic0"))
            .collect();
        assert_eq!(assign(&mut held, &many), Err(NoPortLeft));
        assert!(held.is_empty());
    }
}
