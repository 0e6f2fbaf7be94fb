//! A filter's rules as a network security group has them.

use serde_json::{Value, json};

use super::nft_rules::Rule;

/// The first rule's priority and the last's: the least and the most that groups allow.
const PRIORITY_FIRST: u32 = 100;
const PRIORITY_LAST: u32 = 4096;

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Allow,
    Deny,
}

impl Access {
    fn name(self) -> &'static str {
        match self {
            Self::Allow => "Allow",
            Self::Deny => "Deny",
        }
    }
}

/// Inbound rules in their order, and a last one for everything else.
pub(crate) fn rules(rules: impl Iterator<Item = Rule>, rest: Access) -> Vec<Value> {
    let mut group: Vec<Value> = (PRIORITY_FIRST..PRIORITY_LAST)
        .zip(rules)
        .map(|(priority, rule)| group_rule(priority, &rule))
        .collect();
    group.push(json!({
        "name": "rest", "priority": PRIORITY_LAST, "direction": "Inbound", "access": rest.name(),
    }));
    group
}

fn group_rule(priority: u32, rule: &Rule) -> Value {
    let access = if rule.accepts {
        Access::Allow
    } else {
        Access::Deny
    };
    json!({
        "name": format!("rule-{priority}"),
        "priority": priority,
        "direction": "Inbound",
        "access": access.name(),
        "protocol": if rule.protocol == "udp" { "Udp" } else { "Tcp" },
        "source": rule.source,
        "sourcePorts": rule.source_ports.unwrap_or("*"),
        "destination": rule.destination,
        "destinationPorts": rule.destination_ports,
    })
}
