use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::world::{ANCHORS_PLACE, Guest, OPEN, PLACES, SHUT};

/// The group of the anchors' subnet, by its place in the list.
pub(super) const ANCHORS_GROUP: usize = 0;

/// A security group: its rules in each direction, by priority.
#[derive(Clone)]
pub(super) struct Group(BTreeMap<(Direction, u16), Rule>);

/// Which way a rule looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Direction {
    Inbound,
    Outbound,
}

/// What a packet carries, or a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Any,
    Tcp,
    Udp,
    Icmp,
}

/// Whom the other side of a rule names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Party {
    Anyone,
    Subnet(usize),
    Members,
}

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) allow: bool,
    pub(super) protocol: Protocol,
    pub(super) party: Party,
    /// The first and the last port at the server; None for all, and for what has no ports.
    pub(super) ports: Option<(u16, u16)>,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Protocol::Any => "*",
            Protocol::Tcp => "Tcp",
            Protocol::Udp => "Udp",
            Protocol::Icmp => "Icmp",
        }
    }
}

impl Party {
    fn is(self, guest: &Guest) -> bool {
        match self {
            Party::Anyone => true,
            Party::Subnet(place) => guest.place == place,
            Party::Members => guest.member,
        }
    }

    fn document(self) -> Value {
        match self {
            Party::Anyone => json!("*"),
            Party::Subnet(place) => json!(PLACES[place].prefix()),
            Party::Members => json!({ "asg": "members" }),
        }
    }
}

impl Group {
    pub(super) fn none() -> Group {
        Group(BTreeMap::new())
    }

    /// What holds between anchors whatever else is ruled: what comes later has less to say.
    pub(super) fn of_anchors() -> Group {
        let of = |protocol, first| {
            let rule = |allow, ports| Rule {
                allow,
                protocol,
                party: Party::Subnet(ANCHORS_PLACE),
                ports: Some(ports),
            };
            [
                ((Direction::Inbound, first), rule(true, (OPEN, OPEN))),
                ((Direction::Inbound, first + 1), rule(false, (SHUT, SHUT))),
                ((Direction::Outbound, first), rule(true, (OPEN, SHUT))),
            ]
        };
        let both = [of(Protocol::Tcp, 100), of(Protocol::Udp, 110)];
        Group(both.into_iter().flatten().collect())
    }

    /// Puts a rule in, in the place of one with this priority.
    pub(super) fn insert(&mut self, direction: Direction, priority: u16, rule: Rule) {
        self.0.insert((direction, priority), rule);
    }

    /// Takes a rule out; false if there is none.
    pub(super) fn remove(&mut self, direction: Direction, priority: u16) -> bool {
        self.0.remove(&(direction, priority)).is_some()
    }

    /// The first rule that matches decides. The default rules allow what stays in the virtual
    /// network, and all does here.
    pub(super) fn allows(
        &self,
        direction: Direction,
        protocol: Protocol,
        port: u16,
        from: &Guest,
        to: &Guest,
    ) -> bool {
        let other = match direction {
            Direction::Inbound => from,
            Direction::Outbound => to,
        };
        let matches = |rule: &Rule| {
            let ports = rule.ports;
            (rule.protocol == Protocol::Any || rule.protocol == protocol)
                && rule.party.is(other)
                && ports.is_none_or(|(first, last)| (first..=last).contains(&port))
        };
        let mut rules = self.0.iter();
        let first = rules.find(|((way, _), rule)| *way == direction && matches(rule));
        first.is_none_or(|(_, rule)| rule.allow)
    }

    pub(super) fn document(&self) -> Value {
        let rules = self.0.iter().map(|((direction, priority), rule)| {
            let (way, side) = match direction {
                Direction::Inbound => ("Inbound", "source"),
                Direction::Outbound => ("Outbound", "destination"),
            };
            let ports = match rule.ports {
                None => "*".to_owned(),
                Some((first, last)) => format!("{first}-{last}"),
            };
            let mut document = json!({
                "name": format!("{way}-{priority}"),
                "priority": priority,
                "direction": way,
                "access": if rule.allow { "Allow" } else { "Deny" },
                "protocol": rule.protocol.name(),
                "destinationPorts": ports,
            });
            document[side] = rule.party.document();
            document
        });
        json!({ "rules": rules.collect::<Vec<_>>() })
    }
}
