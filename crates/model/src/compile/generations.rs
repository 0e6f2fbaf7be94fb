//! Which flows must follow a change.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::effective::routes_of;
use crate::topology::{Nic, NicName, Topology};

/// How far the policy is, and since when each NIC's paths are as they are. The agent keeps it with
/// the topology.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Generations {
    /// The generation of the whole policy: one more with every change.
    pub policy: u32,
    /// Those of the NICs; one that is absent changed in this generation. It is another map only
    /// where those of a NIC are others.
    #[serde(with = "shared")]
    pub nics: Arc<BTreeMap<NicName, NicGenerations>>,
}

/// The generations of one NIC, both numbers of policy generations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NicGenerations {
    /// When last something changed that established flows must follow.
    pub path: u32,
    /// When re-evaluation of established connections was last asked for; zero when never.
    pub reevaluate: u32,
}

impl Generations {
    /// Something that no topology says changed for all paths: the underlay's MTU.
    pub fn advance_paths(&mut self) {
        self.policy = self.policy.saturating_add(1);
        for nic in Arc::make_mut(&mut self.nics).values_mut() {
            nic.path = self.policy;
        }
    }

    pub(super) fn of(&self, nic: &NicName) -> NicGenerations {
        let new = NicGenerations {
            path: self.policy,
            reevaluate: 0,
        };
        self.nics.get(nic).copied().unwrap_or(new)
    }
}

/// Goes on from the topology `old` to `new`. The policy generation advances always, a NIC's path
/// generation when its own settings, its routes or how NICs in its reach take packets changed, and
/// never for a change of rules. `reevaluate` asks that established connections be judged by the new rules, and
/// so advances both generations of all NICs.
pub fn advance(
    generations: &mut Generations,
    old: Option<&Topology>,
    new: &Topology,
    reevaluate: bool,
) {
    generations.policy = generations.policy.saturating_add(1);
    let now = generations.policy;
    let known = Arc::clone(&generations.nics);
    let mut moved = Vec::new();
    let mut count = 0;
    let mut paths = old.map(|old| Paths {
        old,
        new,
        changed: receivers_changed(old, new),
        routes: HashMap::new(),
    });
    for (name, _, nic) in new.nics() {
        let same = paths.as_mut().is_some_and(|paths| paths.same(&name, nic));
        let kept = known.get(&name).copied();
        count += usize::from(kept.is_some());
        let mut stamps = kept.unwrap_or(NicGenerations {
            path: now,
            reevaluate: 0,
        });
        if !same || reevaluate {
            stamps.path = now;
        }
        if reevaluate {
            stamps.reevaluate = now;
        }
        if kept != Some(stamps) {
            moved.push((name, stamps));
        }
    }
    let gone = known.len() > count;
    if moved.is_empty() && !gone {
        return;
    }
    let nics = Arc::make_mut(&mut generations.nics);
    if gone {
        nics.retain(|name, _| new.nic(name).is_some());
    }
    nics.extend(moved);
}

/// Two topologies, compared by names.
struct Paths<'t> {
    old: &'t Topology,
    new: &'t Topology,
    /// Networks with a NIC that takes packets otherwise than before.
    changed: HashSet<&'t str>,
    /// For a subnet: whether its routes are the same.
    routes: HashMap<(&'t str, &'t str), bool>,
}

impl<'t> Paths<'t> {
    /// Whether this NIC's packets go where they went.
    fn same(&mut self, name: &NicName, nic: &'t Nic) -> bool {
        let Some(before) = self.old.nic(name) else {
            return false;
        };
        same_but_for_groups(before, nic) && self.same_reach(nic) && self.same_routes(nic)
    }

    fn same_routes(&mut self, nic: &'t Nic) -> bool {
        let (old, new) = (self.old, self.new);
        let (vnet, subnet) = (nic.vnet.as_str(), nic.subnet.as_str());
        let same = || routes_of(old, vnet, subnet) == routes_of(new, vnet, subnet);
        *self.routes.entry((vnet, subnet)).or_insert_with(same)
    }

    fn same_reach(&self, nic: &Nic) -> bool {
        let reach = |topology: &'t Topology| -> Vec<(&'t str, u32, bool)> {
            let Some((name, own)) = topology.vnets.get_key_value(&nic.vnet) else {
                return Vec::new();
            };
            let peers = topology
                .connected(own)
                .map(|(name, _, peer)| (name, peer.vni, false));
            std::iter::once((name.as_str(), own.vni, own.router_hop))
                .chain(peers)
                .collect()
        };
        let now = reach(self.new);
        now == reach(self.old) && now.iter().all(|(name, ..)| !self.changed.contains(name))
    }
}

/// Memberships and groups are rules, which established flows do not follow.
fn same_but_for_groups(a: &Nic, b: &Nic) -> bool {
    let Nic {
        name,
        vnet,
        subnet,
        addresses,
        mac,
        nsg: _,
        asgs: _,
        accelerated_networking,
        ip_forwarding,
        mtu,
    } = a;
    (name, vnet, subnet, addresses, mac, mtu)
        == (&b.name, &b.vnet, &b.subnet, &b.addresses, &b.mac, &b.mtu)
        && (accelerated_networking, ip_forwarding) == (&b.accelerated_networking, &b.ip_forwarding)
}

/// The networks with a NIC that takes packets otherwise than before: another Ethernet address, MTU,
/// or leave to forward. An address that comes, goes or moves is not among them: the version of its
/// mapping tells the flows that are concerned, and no others.
fn receivers_changed<'t>(old: &Topology, new: &'t Topology) -> HashSet<&'t str> {
    let receives = |nic: &Nic| (nic.mac, nic.mtu, nic.ip_forwarding);
    new.nics()
        .filter(|(name, _, nic)| {
            let before = old.nic(name);
            before.is_some_and(|before| receives(before) != receives(nic))
        })
        .map(|(_, _, nic)| nic.vnet.as_str())
        .collect()
}

/// What is behind an [`Arc`], as if it were not.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(
        value: &Arc<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        T::serialize(value, serializer)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<T>, D::Error> {
        T::deserialize(deserializer).map(Arc::new)
    }
}
