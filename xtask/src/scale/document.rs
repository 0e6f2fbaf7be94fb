//! Topologies of any size.

use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};

/// What a topology has, and which of two variants it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) nics: u32,
    /// Rules of the one group, of the subnet that all are in.
    pub(crate) rules: u16,
    /// Flow directions of the host and of a NIC, if not as many as by default.
    pub(crate) flows: Option<u32>,
}

/// The name of a guest, by its number.
pub(crate) fn guest(number: u32) -> String {
    format!("g{number:04}")
}

/// Its address.
pub(crate) fn address(number: u32) -> Ipv4Addr {
    const FIRST: u32 = u32::from_be_bytes([10, 0, 0, 4]);
    Ipv4Addr::from(FIRST + number)
}

/// The document. Variants differ in the port of one rule, which no traffic of ours has.
pub(crate) fn topology(size: Size, variant: u16) -> Value {
    let rule = |priority: u16, access: &str, port: u16| {
        json!({
            "name": format!("rule-{priority}"), "priority": priority, "direction": "Inbound",
            "access": access, "protocol": "Tcp", "destinationPorts": port,
        })
    };
    // Of well-known ports, and those of our servers are ephemeral.
    let mut rules: Vec<Value> = (0..size.rules)
        .map(|number| rule(200 + number, "Allow", 1 + number % 1_000))
        .collect();
    rules.push(rule(100, "Deny", 2_000 + variant));
    let guests: Map<String, Value> = (0..size.nics)
        .map(|number| {
            let nic = json!({ "subnet": "scale/all", "address": address(number) });
            (guest(number), nic)
        })
        .collect();
    let mut document = json!({
        "name": "scale",
        "vnets": { "scale": {
            "addressSpace": "10.0.0.0/16",
            "subnets": { "all": { "prefix": "10.0.0.0/16", "nsg": "all" } },
        } },
        "nsgs": { "all": { "rules": rules } },
        "guests": guests,
    });
    if let Some(flows) = size.flows {
        document["host"] = json!({
            "flows": flows, "flowsPerNic": flows, "timeouts": { "idle": "1h" },
        });
    }
    document
}
