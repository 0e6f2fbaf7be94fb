//! The definitions the schema refers to.

use serde_json::{Map, Value, json};

use super::build::{
    boolean, choice, described, integer, key_map, list, object, one_or_many, prose, reference,
};
use crate::document::keys;
use crate::topology::{Direction, GroupAccess, GuestKind, NextHopType, Protocol, RuleAccess};
use crate::validate::limits;

pub(super) fn definitions() -> Value {
    const RULE: &[&str] = &["name", "priority", "direction", "access"];
    let mut all = scalars();
    let mut add = |name: &str, schema| all.insert(name.to_owned(), schema);
    add("vnet", object(keys::VNET, &["addressSpace"], vnet));
    add("subnet", object(keys::SUBNET, &["prefix"], subnet));
    let long = object(keys::PEERING, &["vnet"], peering);
    add("peering", json!({"anyOf": [reference("name"), long]}));
    add("nsg", object(keys::NSG, &[], nsg));
    add("side", side());
    add("rule", object(keys::RULE, RULE, rule));
    add("adminRule", object(keys::ADMIN_RULE, RULE, admin_rule));
    add("routeTable", object(keys::ROUTE_TABLE, &[], route_table));
    add(
        "route",
        object(keys::ROUTE, &["name", "prefix", "nextHopType"], route),
    );
    add("guest", one_way_of_nics(object(keys::GUEST, &[], guest)));
    add("nic", object(keys::NIC, &["subnet"], nic));
    add(
        "uplink",
        object(keys::UPLINK, &["interface", "providerAddress"], uplink),
    );
    add(
        "mapping",
        object(
            keys::MAPPING,
            &["vnet", "address", "provider", "mac"],
            mapping,
        ),
    );
    add("host", object(keys::HOST, &[], host));
    add(
        "timeouts",
        object(keys::TIMEOUTS, &[], |_| Some(reference("duration"))),
    );
    Value::Object(all)
}

fn scalars() -> Map<String, Value> {
    let text = |name: &str, pattern: &str, description: &str| {
        let schema = json!({"type": "string", "pattern": pattern, "description": description});
        (name.to_owned(), schema)
    };
    let port = json!({
        "anyOf": [
            {"type": "integer", "minimum": 0, "maximum": 65535},
            {"type": "string", "pattern": "^(\\*|[Aa][Nn][Yy]|[0-9]{1,5}( *- *[0-9]{1,5})?)$"},
        ],
        "description": "A port, a range like 8000-8080, or \"*\".",
    });
    let duration = json!({
        "anyOf": [
            {"type": "number", "exclusiveMinimum": 0},
            {"type": "string", "pattern": "^[0-9]+(\\.[0-9]*)?(ms|s|m|h|d)?$"},
        ],
        "description": "Seconds, or a number with ms, s, m, h or d.",
    });
    Map::from_iter([
        text(
            "name",
            "^[A-Za-z0-9]([A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?$",
            "1 to 80 letters, digits, `.`, `-` and `_`.",
        ),
        text(
            "prefix",
            "^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$",
            "A prefix like 10.0.1.0/24 or fd00:1::/64, or one address.",
        ),
        text("address", "^[0-9A-Fa-f.:]+$", "An IPv4 or IPv6 address."),
        text(
            "mac",
            "^[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}$",
            "A unicast Ethernet address.",
        ),
        text(
            "tag",
            "^[A-Za-z][A-Za-z0-9_.]*$",
            "A service tag: the platform's, or one of `serviceTags`.",
        ),
        ("port".to_owned(), port),
        ("duration".to_owned(), duration),
    ])
}

fn vnet(key: &str) -> Option<Value> {
    Some(match key {
        "addressSpace" => described(one_or_many(reference("prefix")), "Its address ranges."),
        "vni" => described(
            integer(&(1..=limits::VNI_MAX)),
            "VXLAN network identifier; the first free one from 4096 when absent.",
        ),
        "subnets" => described(key_map(reference("subnet")), "Subnets by name."),
        "peerings" => described(
            list(reference("peering")),
            "Names of other virtual networks, or maps. Both sides need one.",
        ),
        "gatewayRoutes" => described(
            one_or_many(reference("prefix")),
            "What its gateway has learnt.",
        ),
        "dnsServers" => described(
            one_or_many(reference("address")),
            "Name servers its guests are told of, in this order.",
        ),
        "routerHop" => boolean(
            false,
            "Whether it counts as a router hop: TTL goes down by one.",
        ),
        _ => return None,
    })
}

fn subnet(key: &str) -> Option<Value> {
    Some(match key {
        "prefix" => described(
            one_or_many(reference("prefix")),
            "IPv4 up to /29, IPv6 /64, or both.",
        ),
        "nsg" => described(reference("name"), "Its network security group."),
        "routeTable" => described(reference("name"), "Its route table."),
        "serviceEndpoints" => described(
            one_or_many(reference("tag")),
            "Services it reaches directly.",
        ),
        _ => return None,
    })
}

fn peering(key: &str) -> Option<Value> {
    Some(match key {
        "vnet" => described(reference("name"), "The other virtual network."),
        "allowVirtualNetworkAccess" => boolean(
            true,
            "Whether the other network belongs to the tag VirtualNetwork here.",
        ),
        "allowForwardedTraffic" => boolean(
            false,
            "Whether packets may come from there that did not start there.",
        ),
        _ => return None,
    })
}

fn nsg(key: &str) -> Option<Value> {
    let rules = described(list(reference("rule")), "In any order; priorities decide.");
    (key == "rules").then_some(rules)
}

fn side() -> Value {
    let asgs = object(keys::ASG_SIDE, &["asg"], |_| {
        Some(one_or_many(reference("name")))
    });
    let word = json!({
        "type": "string",
        "pattern": "^(\\*|[A-Za-z][A-Za-z0-9_.]*|[0-9A-Fa-f.:]+(/[0-9]{1,3})?)$",
    });
    let schema = json!({"anyOf": [word, {"type": "array", "items": word, "minItems": 1}, asgs]});
    described(
        schema,
        "Prefixes and addresses, one service tag, \"*\", or application groups.",
    )
}

fn rule(key: &str) -> Option<Value> {
    Some(match key {
        "priority" => described(integer(&limits::RULE_PRIORITIES), "Lower goes first."),
        "access" => choice::<GroupAccess>(),
        "sourceApplicationSecurityGroups" | "destinationApplicationSecurityGroups" => {
            one_or_many(reference("name"))
        }
        shared => return any_rule(shared),
    })
}

fn admin_rule(key: &str) -> Option<Value> {
    Some(match key {
        "priority" => described(integer(&limits::ADMIN_PRIORITIES), "Lower goes first."),
        "access" => choice::<RuleAccess>(),
        "vnets" => described(
            one_or_many(reference("name")),
            "For these only; all when absent.",
        ),
        shared => return any_rule(shared),
    })
}

fn any_rule(key: &str) -> Option<Value> {
    Some(match key {
        "name" => reference("name"),
        "description" => prose(),
        "direction" => choice::<Direction>(),
        "protocol" => described(choice::<Protocol>(), "Any when absent."),
        "source" | "destination" => reference("side"),
        "sourcePorts" | "destinationPorts" => {
            described(one_or_many(reference("port")), "Any when absent.")
        }
        _ => return None,
    })
}

fn route_table(key: &str) -> Option<Value> {
    Some(match key {
        "routes" => list(reference("route")),
        "disableBgpRoutePropagation" => boolean(
            false,
            "Whether its subnets do without what the gateway learnt.",
        ),
        _ => return None,
    })
}

fn route(key: &str) -> Option<Value> {
    Some(match key {
        "name" => reference("name"),
        "prefix" => json!({"anyOf": [reference("prefix"), reference("tag")]}),
        "nextHopType" => choice::<NextHopType>(),
        "nextHopIpAddress" => described(reference("address"), "Of the appliance."),
        _ => return None,
    })
}

fn guest(key: &str) -> Option<Value> {
    Some(match key {
        "kind" => described(choice::<GuestKind>(), "netns when absent."),
        "netns" => json!({
            "type": "string",
            "pattern": "^/",
            "description": "For kind attached: the namespace, when it is already known.",
        }),
        "nics" => json!({
            "type": "array",
            "items": reference("nic"),
            "minItems": 1,
            "maxItems": limits::NICS_PER_GUEST_MAX,
            "description": "Its NICs, the primary one first; or the keys of the only one directly.",
        }),
        shared => return nic(shared),
    })
}

/// A guest has `nics`, or the keys of its only one.
fn one_way_of_nics(mut guest: Value) -> Value {
    let only: Vec<Value> = keys::GUEST
        .iter()
        .filter(|key| keys::NIC_ONLY.contains(&key.name))
        .flat_map(|key| key.spellings().map(|name| json!({"required": [name]})))
        .collect();
    let listed = json!({"required": ["nics"], "not": {"anyOf": only}});
    let short = json!({"required": ["subnet"], "not": {"required": ["nics"]}});
    if let Some(fields) = guest.as_object_mut() {
        fields.insert("oneOf".into(), json!([listed, short]));
    }
    guest
}

fn nic(key: &str) -> Option<Value> {
    Some(match key {
        "name" => described(reference("name"), "nic0, nic1 and so on when absent."),
        "subnet" => json!({
            "type": "string",
            "pattern": "^[^/]+/[^/]+$",
            "description": "Virtual network, slash, subnet.",
        }),
        "address" => described(
            one_or_many(reference("address")),
            "Static addresses; the first free one of each family when absent.",
        ),
        "mac" => described(reference("mac"), "Made from the name when absent."),
        "nsg" => described(reference("name"), "Its own network security group."),
        "asgs" => described(one_or_many(reference("name")), "Groups it is a member of."),
        "acceleratedNetworking" => boolean(
            true,
            "Whether an engine may execute its flows; the guest's is the default.",
        ),
        "ipForwarding" => boolean(false, "Whether it may forward packets of others."),
        "mtu" => described(
            integer(&limits::MTUS),
            "The largest IP packet; when absent 1500, or less where the uplink takes less.",
        ),
        _ => return None,
    })
}

fn uplink(key: &str) -> Option<Value> {
    Some(match key {
        "interface" => json!({"type": "string", "minLength": 1, "maxLength": 15}),
        "providerAddress" => described(reference("address"), "This host's own."),
        "vxlanPort" => described(integer(&limits::VXLAN_PORTS), "4789 when absent."),
        _ => return None,
    })
}

fn mapping(key: &str) -> Option<Value> {
    Some(match key {
        "vnet" => reference("name"),
        "address" => described(reference("address"), "The customer address."),
        "provider" => described(reference("address"), "The provider address of its host."),
        "mac" => reference("mac"),
        "useDestinationVni" => boolean(
            true,
            "Whether frames to it carry the VNI of its network, or else that of the sender's.",
        ),
        _ => return None,
    })
}

fn host(key: &str) -> Option<Value> {
    Some(match key {
        "flows" => described(
            integer(&limits::FLOWS),
            "The most flow directions of the host, two for each connection. Set when the agent \
             starts.",
        ),
        "flowsPerNic" => described(
            integer(&limits::FLOWS_PER_NIC),
            "The most flows of one NIC.",
        ),
        "exceptionsPerSecond" => described(
            integer(&limits::RATES),
            "The most first packets of one NIC in a second.",
        ),
        "resimulationsPerSecond" => described(
            integer(&limits::RATES),
            "The most stale flows of one NIC in a second.",
        ),
        "timeouts" => described(reference("timeouts"), "How long idle flows are kept."),
        _ => return None,
    })
}
