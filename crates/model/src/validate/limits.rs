//! How much of everything there may be. Where the cloud has a limit, ours is the same.

use std::ops::RangeInclusive;

/// Bytes of a document.
pub const SOURCE_BYTES_MAX: usize = 16 << 20;
/// Levels of lists and maps in one another.
pub const DEPTH_MAX: usize = 32;
/// Values in a document, counting what aliases stand for.
pub const NODES_MAX: usize = 2_000_000;
/// Errors kept, and warnings kept.
pub const DIAGNOSTICS_MAX: usize = 100;
/// Characters of a description, or of the topology's own name.
pub const TEXT_CHARS_MAX: usize = 140;
/// Bytes of a file system path, with its terminating zero (Linux's `PATH_MAX`).
pub const PATH_BYTES_MAX: usize = 4096;

/// Virtual networks.
pub const VNETS_MAX: usize = 1_000;
/// Subnets of a virtual network.
pub const SUBNETS_PER_VNET_MAX: usize = 3_000;
/// Peerings of a virtual network.
pub const PEERINGS_PER_VNET_MAX: usize = 500;
/// Address ranges of a virtual network, and of a subnet.
pub const RANGES_MAX: usize = 500;
/// Prefixes a gateway may have learnt.
pub const GATEWAY_ROUTES_MAX: usize = 4_000;
/// Name servers of a virtual network.
pub const DNS_SERVERS_MAX: usize = 20;
/// Addresses in use in a virtual network.
pub const ADDRESSES_PER_VNET_MAX: usize = 65_536;
/// Addresses of a NIC, and of a guest.
pub const ADDRESSES_PER_NIC_MAX: usize = 256;
/// NICs of a guest.
pub const NICS_PER_GUEST_MAX: usize = 8;
/// NICs on a host: there are no more switch ports.
pub const NICS_MAX: usize = flow::PortId::MAX.0 as usize;

/// Network security groups.
pub const NSGS_MAX: usize = 5_000;
/// Rules of a group, and security admin rules.
pub const RULES_PER_NSG_MAX: usize = 1_000;
/// Prefixes and port ranges of one side of a rule, and prefixes of a service tag.
pub const PREFIXES_PER_SIDE_MAX: usize = 4_000;
/// Application security groups.
pub const ASGS_MAX: usize = 3_000;
/// Application security groups of a NIC.
pub const ASGS_PER_NIC_MAX: usize = 20;
/// Application security groups on one side of a rule.
pub const ASGS_PER_SIDE_MAX: usize = 10;
/// Application security groups named in one network security group.
pub const ASGS_PER_NSG_MAX: usize = 100;
/// Members of an application security group.
pub const MEMBERS_PER_ASG_MAX: usize = 4_000;
/// Service tags of the author's own.
pub const SERVICE_TAGS_MAX: usize = 1_000;

/// Route tables.
pub const ROUTE_TABLES_MAX: usize = 200;
/// Routes of a table.
pub const ROUTES_PER_TABLE_MAX: usize = 400;
/// Routes of a table whose destination is a service tag.
pub const TAG_ROUTES_PER_TABLE_MAX: usize = 25;

/// Customer addresses on other hosts.
pub const MAPPINGS_MAX: usize = 128_000;

/// Priorities of a group's rules.
pub const RULE_PRIORITIES: RangeInclusive<u16> = 100..=4096;
/// Priorities of security admin rules.
pub const ADMIN_PRIORITIES: RangeInclusive<u16> = 1..=4096;
/// IP packet sizes a NIC can have: the least IPv4 must carry in one piece (RFC 791), to the most
/// the cloud's adapters do.
pub const MTUS: RangeInclusive<u16> = 576..=9000;
/// The least MTU of a NIC with an IPv6 address (RFC 8200, section 5).
pub const MTU_IPV6_MIN: u16 = 1280;
/// The MTU of a NIC that says nothing of it.
pub const MTU_DEFAULT: u16 = 1500;
/// The first network identifier given to a virtual network without one.
pub const VNI_FIRST: u32 = 4096;
/// Network identifiers have 24 bits (RFC 7348, section 5).
pub const VNI_MAX: u32 = 0x00ff_ffff;
/// UDP ports VXLAN may use.
pub const VXLAN_PORTS: RangeInclusive<u16> = 1024..=65535;
/// The UDP port VXLAN has (RFC 7348, section 8).
pub const VXLAN_PORT_DEFAULT: u16 = 4789;
/// Flow directions a host may be allowed: each takes some hundred bytes in the kernel and as many
/// in the agent.
pub const FLOWS: RangeInclusive<u32> = 1_024..=16_777_216;
/// Flows a NIC may be allowed.
pub const FLOWS_PER_NIC: RangeInclusive<u32> = 16..=4_000_000;
/// Rates, in a second.
pub const RATES: RangeInclusive<u32> = 1..=100_000_000;
/// The longest idle time.
pub const TIMEOUT_MS_MAX: u64 = 30 * 86_400_000;
