use std::net::IpAddr;
use std::sync::Arc;

use flow::PortId;
use ipnet::IpNet;
use wire::Vni;

use crate::classifier::{Addresses, Located, Mixed};
use crate::input::{Access, Layer, NicInput, VnetId};
use crate::observer::{Direction, LayerView, Observer};
use crate::route_table::{RouteRef, RouteTable};
use crate::rule_set::RuleSet;
use crate::tuple::Tuple;

/// Whether a packet may pass a NIC in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Judgement {
    /// It may.
    Allow,
    /// It may not: this layer denies it.
    Deny(Layer),
}

/// One NIC's compiled policy.
#[derive(Clone, Debug)]
pub struct NicPolicy {
    /// The switch port it is behind.
    pub port: PortId,
    /// The name users know it by.
    pub name: String,
    /// Its addresses, as they were given.
    pub addresses: Vec<IpAddr>,
    /// The range of the subnet each of these addresses is in, in the same order.
    pub subnets: Vec<IpNet>,
    /// Whether it is its guest's first NIC, the one with the default route.
    pub primary: bool,
    /// The name servers its guest is told of.
    pub dns_servers: Vec<IpAddr>,
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// Its virtual network.
    pub vnet: VnetId,
    /// The VXLAN network identifier of that network.
    pub vni: Vni,
    /// Whether it may send and receive packets that are not its own.
    pub ip_forwarding: bool,
    /// Whether the virtual network counts as a router hop for what it sends.
    pub decrement_ttl: bool,
    /// The largest IP packet it takes, in bytes.
    pub mtu: u16,
    /// See [`NicInput::path_generation`].
    pub path_generation: u32,
    /// See [`NicInput::reevaluate_generation`].
    pub reevaluate_generation: u32,
    /// The virtual router's addresses as its guest knows them.
    gateways: Box<[IpAddr]>,
    /// Its addresses, sorted.
    owned: Box<[IpAddr]>,
    outbound: Box<[Arc<RuleSet>]>,
    inbound: Box<[Arc<RuleSet>]>,
    routes: Arc<RouteTable>,
}

impl NicPolicy {
    /// The NIC with its parts compiled, the rule sets in the order of the input's.
    pub(crate) fn new(
        nic: &NicInput,
        outbound: Vec<Arc<RuleSet>>,
        inbound: Vec<Arc<RuleSet>>,
        routes: Arc<RouteTable>,
    ) -> NicPolicy {
        let mut owned = nic.addresses.clone();
        owned.sort_unstable();
        NicPolicy {
            port: nic.port,
            name: nic.name.clone(),
            addresses: nic.addresses.clone(),
            subnets: nic.subnets.clone(),
            primary: nic.primary,
            dns_servers: nic.dns_servers.clone(),
            mac: nic.mac,
            vnet: nic.vnet,
            vni: nic.vni,
            ip_forwarding: nic.ip_forwarding,
            decrement_ttl: nic.decrement_ttl,
            mtu: nic.mtu,
            path_generation: nic.path_generation,
            reevaluate_generation: nic.reevaluate_generation,
            gateways: nic.gateways.clone().into(),
            owned: owned.into(),
            outbound: outbound.into(),
            inbound: inbound.into(),
            routes,
        }
    }

    /// The virtual router's address in the family of `peer`, as the guest knows it.
    pub fn gateway_for(&self, peer: IpAddr) -> Option<IpAddr> {
        let same = |gateway: &&IpAddr| gateway.is_ipv4() == peer.is_ipv4();
        self.gateways.iter().find(same).copied()
    }

    /// Judges a packet from the guest.
    #[inline]
    pub fn outbound<O: Observer>(&self, tuple: &Tuple, observer: &mut O) -> Judgement {
        judge(&self.outbound, Direction::Outbound, tuple, observer)
    }

    /// Judges a packet to the guest.
    #[inline]
    pub fn inbound<O: Observer>(&self, tuple: &Tuple, observer: &mut O) -> Judgement {
        judge(&self.inbound, Direction::Inbound, tuple, observer)
    }

    /// The route that what the guest sends to `destination` takes: the longest prefix; of equal
    /// ones user before BGP before system, and then the first in the input.
    #[inline]
    pub fn route<O: Observer>(
        &self,
        destination: IpAddr,
        observer: &mut O,
    ) -> Option<RouteRef<'_>> {
        let Some((chosen, overridden)) = self.routes.get(destination) else {
            observer.no_route(destination, self.routes.name());
            return None;
        };
        observer.route(destination, &chosen, overridden);
        Some(chosen)
    }

    /// Whether `address` is one of the NIC's own.
    pub fn owns(&self, address: IpAddr) -> bool {
        self.owned.binary_search(&address).is_ok()
    }

    /// The compiled rule sets, those that occur twice twice.
    pub(crate) fn rule_sets(&self) -> impl Iterator<Item = &Arc<RuleSet>> {
        self.outbound.iter().chain(&self.inbound)
    }

    /// The compiled route table.
    pub(crate) fn routes(&self) -> &Arc<RouteTable> {
        &self.routes
    }

    /// Bytes on the heap, without what is shared with other NICs.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.name.capacity()
            + (self.addresses.capacity() + self.dns_servers.capacity()) * size_of::<IpAddr>()
            + self.subnets.capacity() * size_of::<IpNet>()
            + size_of_val(&*self.owned)
            + size_of_val(&*self.outbound)
            + size_of_val(&*self.inbound)
    }
}

/// Rule sets that are looked up together before the first of them decides, so that the lookups wait
/// for memory together: admin rules and two groups.
const AHEAD: usize = 3;

/// Asks the rule sets in turn; each must let the packet pass.
#[inline]
fn judge<O: Observer>(
    sets: &[Arc<RuleSet>],
    direction: Direction,
    tuple: &Tuple,
    observer: &mut O,
) -> Judgement {
    match (tuple.src, tuple.dst) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let addresses = [source.to_bits(), destination.to_bits()];
            judge_between(sets, direction, tuple, addresses, observer)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let addresses = [source.to_bits(), destination.to_bits()];
            judge_between(sets, direction, tuple, addresses, observer)
        }
        _ => judge_between(sets, direction, tuple, Mixed, observer),
    }
}

/// The same, between these addresses, which are the tuple's.
fn judge_between<A: Addresses, O: Observer>(
    sets: &[Arc<RuleSet>],
    direction: Direction,
    tuple: &Tuple,
    addresses: A,
    observer: &mut O,
) -> Judgement {
    let platform = tuple.is_platform();
    for sets in sets.chunks(AHEAD) {
        let mut located = [Located::NONE; AHEAD];
        for (located, set) in located.iter_mut().zip(sets) {
            *located = set.locate(addresses);
        }
        for (set, located) in sets.iter().zip(located) {
            let exempt = platform && set.exempts_platform();
            let decided = if exempt {
                None
            } else {
                set.first_match(tuple, addresses, located)
            };
            let judgement = match decided {
                Some((_, Access::Allow | Access::AlwaysAllow)) => Judgement::Allow,
                Some((_, Access::Deny)) => Judgement::Deny(set.layer()),
                None if exempt || set.layer() == Layer::SecurityAdmin => Judgement::Allow,
                None => Judgement::Deny(set.layer()),
            };
            observer.layer(&LayerView {
                direction,
                layer: set.layer(),
                set: set.name(),
                rule: decided.map(|(index, _)| set.rule(index)),
                judgement,
                exempt,
            });
            if judgement != Judgement::Allow || matches!(decided, Some((_, Access::AlwaysAllow))) {
                return judgement;
            }
        }
    }
    Judgement::Allow
}
