//! Every key of the document, with the cloud's long spellings. The reader and the schema both take
//! them from here, so neither can know one that the other does not.

/// A key and its other spellings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeySpec {
    pub(crate) name: &'static str,
    pub(crate) aliases: &'static [&'static str],
}

impl KeySpec {
    /// The spelling that `text` is, if it is one of this key's.
    pub(crate) fn spelling(&self, text: &str) -> Option<&'static str> {
        self.spellings().find(|spelling| *spelling == text)
    }

    pub(crate) fn spellings(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

const fn key(name: &'static str) -> KeySpec {
    KeySpec { name, aliases: &[] }
}

const fn aliased(name: &'static str, aliases: &'static [&'static str]) -> KeySpec {
    KeySpec { name, aliases }
}

pub(crate) const DOCUMENT: &[KeySpec] = &[
    key("name"),
    key("vnets"),
    key("nsgs"),
    key("securityAdminRules"),
    key("asgs"),
    key("serviceTags"),
    key("routeTables"),
    key("guests"),
    key("uplink"),
    key("mappings"),
    key("host"),
];

pub(crate) const VNET: &[KeySpec] = &[
    aliased("addressSpace", &["addressPrefixes"]),
    key("vni"),
    key("subnets"),
    key("peerings"),
    key("gatewayRoutes"),
    key("dnsServers"),
    key("routerHop"),
];

pub(crate) const SUBNET: &[KeySpec] = &[
    aliased("prefix", &["addressPrefix", "addressPrefixes"]),
    aliased("nsg", &["networkSecurityGroup"]),
    key("routeTable"),
    key("serviceEndpoints"),
];

pub(crate) const PEERING: &[KeySpec] = &[
    aliased("vnet", &["remoteVirtualNetwork"]),
    key("allowVirtualNetworkAccess"),
    key("allowForwardedTraffic"),
];

pub(crate) const NSG: &[KeySpec] = &[aliased("rules", &["securityRules"])];

/// The keys that a group's rule and an admin rule share come first.
pub(crate) const RULE: &[KeySpec] = &[
    key("name"),
    key("description"),
    key("priority"),
    key("direction"),
    key("access"),
    key("protocol"),
    aliased("source", &["sourceAddressPrefix", "sourceAddressPrefixes"]),
    aliased("sourcePorts", &["sourcePortRange", "sourcePortRanges"]),
    aliased(
        "destination",
        &["destinationAddressPrefix", "destinationAddressPrefixes"],
    ),
    aliased(
        "destinationPorts",
        &["destinationPortRange", "destinationPortRanges", "ports"],
    ),
    key("sourceApplicationSecurityGroups"),
    key("destinationApplicationSecurityGroups"),
];

pub(crate) const ADMIN_RULE: &[KeySpec] = &[
    key("name"),
    key("description"),
    key("priority"),
    key("direction"),
    key("access"),
    key("protocol"),
    aliased("source", &["sourceAddressPrefix", "sourceAddressPrefixes"]),
    aliased("sourcePorts", &["sourcePortRange", "sourcePortRanges"]),
    aliased(
        "destination",
        &["destinationAddressPrefix", "destinationAddressPrefixes"],
    ),
    aliased(
        "destinationPorts",
        &["destinationPortRange", "destinationPortRanges", "ports"],
    ),
    key("vnets"),
];

pub(crate) const ASG_SIDE: &[KeySpec] = &[aliased("asg", &["asgs"])];

pub(crate) const ROUTE_TABLE: &[KeySpec] = &[key("routes"), key("disableBgpRoutePropagation")];

pub(crate) const ROUTE: &[KeySpec] = &[
    key("name"),
    aliased("prefix", &["addressPrefix"]),
    key("nextHopType"),
    key("nextHopIpAddress"),
];

/// A guest, with the keys of its only NIC for the short form.
pub(crate) const GUEST: &[KeySpec] = &[
    key("kind"),
    key("netns"),
    key("nics"),
    key("subnet"),
    aliased("address", &["addresses", "privateIPAddress"]),
    aliased("mac", &["macAddress"]),
    aliased("nsg", &["networkSecurityGroup"]),
    aliased("asgs", &["applicationSecurityGroups"]),
    aliased("acceleratedNetworking", &["enableAcceleratedNetworking"]),
    aliased("ipForwarding", &["enableIPForwarding"]),
    key("mtu"),
];

pub(crate) const NIC: &[KeySpec] = &[
    key("name"),
    key("subnet"),
    aliased("address", &["addresses", "privateIPAddress"]),
    aliased("mac", &["macAddress"]),
    aliased("nsg", &["networkSecurityGroup"]),
    aliased("asgs", &["applicationSecurityGroups"]),
    aliased("acceleratedNetworking", &["enableAcceleratedNetworking"]),
    aliased("ipForwarding", &["enableIPForwarding"]),
    key("mtu"),
];

/// What only describes a NIC, and so cannot stand beside `nics`. `acceleratedNetworking` can: there
/// it is the default of all.
pub(crate) const NIC_ONLY: &[&str] = &[
    "subnet",
    "address",
    "mac",
    "nsg",
    "asgs",
    "ipForwarding",
    "mtu",
];

pub(crate) const UPLINK: &[KeySpec] = &[key("interface"), key("providerAddress"), key("vxlanPort")];

pub(crate) const MAPPING: &[KeySpec] = &[
    key("vnet"),
    key("address"),
    key("provider"),
    key("mac"),
    key("useDestinationVni"),
];

pub(crate) const HOST: &[KeySpec] = &[
    key("flows"),
    key("flowsPerNic"),
    key("exceptionsPerSecond"),
    key("resimulationsPerSecond"),
    key("timeouts"),
];

pub(crate) const TIMEOUTS: &[KeySpec] = &[
    key("tcpHandshake"),
    key("tcpEstablished"),
    key("tcpClosing"),
    key("idle"),
    key("icmp"),
    key("drop"),
    key("fragment"),
];
