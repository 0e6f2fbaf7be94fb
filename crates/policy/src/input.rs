//! What a policy is made from: plain values in which every name of the cloud model (service tags,
//! application security groups, associations) is already resolved to addresses.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use flow::{Encap, PortId};
use ipnet::IpNet;
use wire::Vni;

/// A virtual network within a policy: an index, dense from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VnetId(pub u32);

/// Everything the switch decides by, in one generation.
///
/// Rule sets and route tables are shared by `Arc`: two NICs, or two generations, that hold the same
/// pointer or equal values share the compiled form too.
#[derive(Clone, Debug, Default)]
pub struct PolicyInput {
    /// The policy generation; every published policy has a larger one.
    pub generation: u32,
    /// The NICs on this host.
    pub nics: Vec<NicInput>,
    /// Where customer addresses live, on this host or another.
    pub mappings: Vec<MappingInput>,
    /// The way to other hosts, if this one has any.
    pub uplink: Option<UplinkInput>,
    /// What may come off the uplink, by VNI; each VNI at most once.
    pub segments: Vec<SegmentInput>,
}

/// The way to other hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UplinkInput {
    /// The largest inner IP packet that fits the underlay, in bytes: its MTU without the outer
    /// headers.
    pub mtu: u16,
}

/// What may come off the uplink with one VNI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInput {
    /// The VXLAN network identifier.
    pub vni: Vni,
    /// The network with this VNI, and after it those whose NICs it may be used to reach: its peers,
    /// for senders that give the VNI of their own network (SEMANTICS D5). The NICs of all are
    /// receivers, found by Ethernet address, those of earlier networks first; the hosts of all
    /// their remote mappings are trusted senders (provider address validation, SEMANTICS D6).
    pub vnets: Vec<VnetId>,
}

/// One NIC's policy.
#[derive(Clone, Debug)]
pub struct NicInput {
    /// The switch port it is behind.
    pub port: PortId,
    /// The name users know it by.
    pub name: String,
    /// Its addresses: the only sources it may send from, unless it forwards.
    pub addresses: Vec<IpAddr>,
    /// The range of the subnet each of these addresses is in, in the same order.
    pub subnets: Vec<IpNet>,
    /// Whether it is its guest's first NIC, the one with the default route.
    pub primary: bool,
    /// The name servers its guest is told of.
    pub dns_servers: Vec<IpAddr>,
    /// The virtual router's addresses as its guest knows them: who sends it ICMP errors. At most
    /// one of each family counts, the first.
    pub gateways: Vec<IpAddr>,
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// Its virtual network.
    pub vnet: VnetId,
    /// The VXLAN network identifier of that network.
    pub vni: Vni,
    /// Whether it may send and receive packets that are not its own (a virtual appliance).
    pub ip_forwarding: bool,
    /// Whether the virtual network counts as a router hop for what this NIC sends.
    pub decrement_ttl: bool,
    /// The largest IP packet it takes, in bytes.
    pub mtu: u16,
    /// Advances when something changed that established flows must follow: routes, peerings, the
    /// NIC's own settings, or an edit that asked for re-evaluation.
    pub path_generation: u32,
    /// Equal to the generation in which re-evaluation of established connections was last asked
    /// for; zero when never. A flow whose path stamp is older is judged by its rules anew.
    pub reevaluate_generation: u32,
    /// What packets from the guest pass, in this order: admin rules, NIC group, subnet group.
    pub outbound: Vec<Arc<RuleSetInput>>,
    /// What packets to the guest pass, in this order: admin rules, subnet group, NIC group.
    pub inbound: Vec<Arc<RuleSetInput>>,
    /// The routes of its subnet.
    pub routes: Arc<RouteTableInput>,
}

/// Which layer a rule set is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layer {
    /// Security admin rules, before all groups.
    SecurityAdmin,
    /// The network security group of the NIC.
    NicGroup,
    /// The network security group of the subnet.
    SubnetGroup,
}

/// The rules of one layer in one direction, tags and groups expanded as one NIC sees them.
///
/// Rules are tried in ascending priority and the first match decides. A group always ends in the
/// default rules, so something matches; an admin rule set without a match leaves the decision to
/// the groups.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RuleSetInput {
    /// The group's name.
    pub name: String,
    /// Which layer it is.
    pub layer: Layer,
    /// Whether a rule names a platform tag: then traffic to platform addresses is not exempt.
    pub covers_platform: bool,
    /// The rules, in ascending priority.
    pub rules: Vec<RuleInput>,
}

/// What a matching rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Passes this layer.
    Allow,
    /// Dropped.
    Deny,
    /// Passes this and all group layers of this direction (security admin rules only).
    AlwaysAllow,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RuleInput {
    /// Its name.
    pub name: String,
    /// 100 to 4096 for custom rules, 65000 and above for the default ones.
    pub priority: u16,
    /// What a match means.
    pub access: Access,
    /// IP protocol numbers; empty means any. ICMP covers ICMPv6 when both numbers are listed.
    pub protocols: Vec<u8>,
    /// Source addresses.
    pub source: AddressSet,
    /// Destination addresses.
    pub destination: AddressSet,
    /// Source ports; empty means any. Of use for TCP and UDP only: other protocols match as if any.
    pub source_ports: Vec<RangeInclusive<u16>>,
    /// Destination ports, likewise.
    pub destination_ports: Vec<RangeInclusive<u16>>,
}

/// A set of addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AddressSet {
    /// All of both families.
    Any,
    /// Those in one of these prefixes; none when empty.
    Prefixes(Vec<IpNet>),
}

/// The routes of a subnet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct RouteTableInput {
    /// The name of the route table, or of the subnet when it has none.
    pub name: String,
    /// All candidate routes, valid ones only, in any order. For equal prefixes user wins over BGP
    /// over system.
    pub routes: Vec<RouteInput>,
}

/// Where a route comes from; earlier wins between equal prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteSource {
    /// A user-defined route.
    User,
    /// Learnt from a gateway.
    Bgp,
    /// Made by the platform.
    System,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RouteInput {
    /// Its name; system routes have the name of what they are.
    pub name: String,
    /// Destinations.
    pub prefix: IpNet,
    /// Where it comes from.
    pub source: RouteSource,
    /// Where it leads.
    pub next_hop: NextHop,
}

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NextHop {
    /// To a NIC of this virtual network: the sender's own, or a peered one.
    Vnet(VnetId),
    /// To a virtual appliance, found by this address in the sender's network or a peered one.
    Appliance(IpAddr),
    /// Out to the Internet.
    Internet,
    /// To the virtual network gateway.
    Gateway,
    /// Nowhere.
    None,
}

/// Where one customer address lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappingInput {
    /// The network the address belongs to.
    pub vnet: VnetId,
    /// The customer address.
    pub address: IpAddr,
    /// Where it is.
    pub target: MappingTarget,
}

/// Where a customer address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MappingTarget {
    /// Behind a port of this host.
    Port(PortId),
    /// On another host.
    Remote {
        /// The NIC's Ethernet address there.
        mac: [u8; 6],
        /// How to reach that host, with the VNI of the mapping's network.
        encap: Encap,
        /// Whether the sender's network gives the VNI instead (SEMANTICS D5: `use_dst_vnet_vni`
        /// false).
        vni_of_sender: bool,
    },
}
