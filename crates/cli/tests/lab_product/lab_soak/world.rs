//! What the virtual network is to be, and who may then talk to whom: written anew and plainly,
//! without a line of the product's.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};

use super::rules::{ANCHORS_GROUP, Direction, Group, Protocol};

/// Ports on which every guest serves.
pub(super) const PORTS: [u16; 4] = [1000, 1001, 1002, 1003];
/// Always allowed between anchors, and never: whatever else changes.
pub(super) const OPEN: u16 = 7000;
pub(super) const SHUT: u16 = 7001;
/// Guests that are always there, in a subnet of their own.
pub(super) const ANCHORS: [&str; 4] = ["x0", "x1", "x2", "x3"];
/// Guests that come and go.
pub(super) const PASSERS: [&str; 8] = ["g0", "g1", "g2", "g3", "g4", "g5", "g6", "g7"];
/// The subnets.
pub(super) const PLACES: [Place; 4] = [
    Place::new("main", "anchors", [10, 0, 9]),
    Place::new("main", "left", [10, 0, 1]),
    Place::new("main", "right", [10, 0, 2]),
    Place::new("other", "far", [10, 1, 1]),
];
/// The subnet of the anchors, by its place in the list.
pub(super) const ANCHORS_PLACE: usize = 0;

/// What never changes of a subnet.
pub(super) struct Place {
    pub(super) vnet: &'static str,
    subnet: &'static str,
    octets: [u8; 3],
}

/// All that may change.
#[derive(Clone)]
pub(super) struct World {
    pub(super) subnets: [Subnet; PLACES.len()],
    pub(super) groups: [Group; 4],
    /// Whether the two networks are peered, from both sides.
    pub(super) peered: bool,
    pub(super) guests: BTreeMap<&'static str, Guest>,
}

/// What changes of a subnet.
#[derive(Clone, Default)]
pub(super) struct Subnet {
    /// Its security group.
    pub(super) group: Option<usize>,
    /// The subnets to which a route leads nowhere.
    pub(super) blocked: [bool; PLACES.len()],
}

/// A guest with one NIC.
#[derive(Clone)]
pub(super) struct Guest {
    pub(super) place: usize,
    pub(super) host: u8,
    pub(super) group: Option<usize>,
    /// Member of the one application security group, which is of the network `main`.
    pub(super) member: bool,
    pub(super) accelerated: bool,
    /// A TAP that nobody opens: it comes and goes, and says nothing.
    pub(super) tap: bool,
}

/// The first packet of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    pub(super) protocol: Protocol,
    pub(super) port: u16,
}

impl Place {
    const fn new(vnet: &'static str, subnet: &'static str, octets: [u8; 3]) -> Place {
        Place {
            vnet,
            subnet,
            octets,
        }
    }

    pub(super) fn prefix(&self) -> String {
        let [a, b, c] = self.octets;
        format!("{a}.{b}.{c}.0/24")
    }
}

impl Guest {
    pub(super) fn new(place: usize, host: u8) -> Guest {
        Guest {
            place,
            host,
            group: None,
            member: false,
            accelerated: true,
            tap: false,
        }
    }

    pub(super) fn address(&self) -> Ipv4Addr {
        let [a, b, c] = PLACES[self.place].octets;
        Ipv4Addr::new(a, b, c, self.host)
    }
}

impl World {
    /// The anchors, and no rule but theirs.
    pub(super) fn first() -> World {
        let anchors = ANCHORS.into_iter().zip(4..);
        let mut world = World {
            subnets: Default::default(),
            groups: [
                Group::of_anchors(),
                Group::none(),
                Group::none(),
                Group::none(),
            ],
            peered: true,
            guests: anchors
                .map(|(name, host)| (name, Guest::new(ANCHORS_PLACE, host)))
                .collect(),
        };
        world.subnets[ANCHORS_PLACE].group = Some(ANCHORS_GROUP);
        world
    }

    /// Those that can talk.
    pub(super) fn talkers(&self) -> Vec<&'static str> {
        let talk = self.guests.iter().filter(|(_, guest)| !guest.tap);
        talk.map(|(name, _)| *name).collect()
    }

    /// Whether packets find their way, one way.
    pub(super) fn leads(&self, from: &str, to: &str) -> bool {
        let (from, to) = (self.guests[from].place, self.guests[to].place);
        let one_network = PLACES[from].vnet == PLACES[to].vnet;
        !self.subnets[from].blocked[to] && (one_network || self.peered)
    }

    /// Whether the rules allow a first packet: outbound those of the NIC and of its subnet, inbound
    /// those of the subnet and of the NIC.
    pub(super) fn allows(&self, packet: &Packet) -> bool {
        let (from, to) = (&self.guests[packet.from], &self.guests[packet.to]);
        let ask = |guest: &Guest, direction| {
            let groups = [guest.group, self.subnets[guest.place].group];
            groups.into_iter().flatten().all(|group| {
                self.groups[group].allows(direction, packet.protocol, packet.port, from, to)
            })
        };
        ask(from, Direction::Outbound) && ask(to, Direction::Inbound)
    }

    /// Whether what a packet begins gets an answer.
    pub(super) fn answers(&self, packet: &Packet) -> bool {
        let both_ways = self.leads(packet.from, packet.to) && self.leads(packet.to, packet.from);
        both_ways && self.allows(packet)
    }

    /// The topology document.
    pub(super) fn document(&self) -> String {
        let groups = self.groups.iter().enumerate();
        let groups: Map<_, _> = groups
            .map(|(number, group)| (group_name(number), group.document()))
            .collect();
        let tables: Map<_, _> = (0..PLACES.len())
            .map(|place| (format!("table-{place}"), self.routes(place)))
            .collect();
        let guests: Map<_, _> = self
            .guests
            .iter()
            .map(|(name, guest)| ((*name).to_owned(), guest_document(guest)))
            .collect();
        json!({
            "name": "soak",
            "vnets": {
                "main": self.network("main", "10.0.0.0/16", "other"),
                "other": self.network("other", "10.1.0.0/16", "main"),
            },
            "asgs": ["members"],
            "nsgs": groups,
            "routeTables": tables,
            "guests": guests,
            // Short, so that what is over is soon forgotten.
            "host": { "timeouts": {
                "tcpHandshake": "3s", "tcpClosing": "2s", "icmp": "2s", "drop": "3s",
                "idle": "3s",
                "tcpEstablished": "60s",
            } },
        })
        .to_string()
    }

    fn network(&self, vnet: &str, space: &str, peer: &str) -> Value {
        let places = PLACES.iter().enumerate();
        let subnets: Map<_, _> = places
            .filter(|(_, place)| place.vnet == vnet)
            .map(|(number, place)| (place.subnet.to_owned(), self.subnet(number)))
            .collect();
        let peerings = if self.peered { vec![peer] } else { Vec::new() };
        json!({ "addressSpace": space, "subnets": subnets, "peerings": peerings })
    }

    fn subnet(&self, place: usize) -> Value {
        let mut subnet = json!({
            "prefix": PLACES[place].prefix(),
            "routeTable": format!("table-{place}"),
        });
        if let Some(group) = self.subnets[place].group {
            subnet["nsg"] = group_name(group).into();
        }
        subnet
    }

    fn routes(&self, place: usize) -> Value {
        let blocked = self.subnets[place].blocked.iter().enumerate();
        let blocked = blocked.filter(|(_, blocked)| **blocked);
        let routes: Vec<Value> = blocked
            .map(|(to, _)| {
                let (name, prefix) = (format!("to-{to}"), PLACES[to].prefix());
                json!({ "name": name, "prefix": prefix, "nextHopType": "None" })
            })
            .collect();
        json!({ "routes": routes })
    }
}

fn guest_document(guest: &Guest) -> Value {
    let place = &PLACES[guest.place];
    let mut document = json!({
        "kind": if guest.tap { "tap" } else { "netns" },
        "subnet": format!("{}/{}", place.vnet, place.subnet),
        "address": guest.address(),
        "acceleratedNetworking": guest.accelerated,
    });
    if let Some(group) = guest.group {
        document["nsg"] = group_name(group).into();
    }
    if guest.member {
        document["asgs"] = json!(["members"]);
    }
    document
}

fn group_name(group: usize) -> String {
    format!("group-{group}")
}
