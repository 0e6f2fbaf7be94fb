//! Rule sets in a few words.

use policy::input::{Access, AddressSet, Layer, RuleInput, RuleSetInput};

/// A rule that matches everything.
pub(crate) fn rule(name: &str, priority: u16, access: Access) -> RuleInput {
    RuleInput {
        name: name.to_owned(),
        priority,
        access,
        protocols: Vec::new(),
        source: AddressSet::Any,
        destination: AddressSet::Any,
        source_ports: Vec::new(),
        destination_ports: Vec::new(),
    }
}

pub(crate) fn allow(name: &str, priority: u16) -> RuleInput {
    rule(name, priority, Access::Allow)
}

pub(crate) fn deny(name: &str, priority: u16) -> RuleInput {
    rule(name, priority, Access::Deny)
}

/// Narrows a rule.
pub(crate) trait Narrow: Sized {
    fn proto(self, protocol: u8) -> Self;
    fn port(self, port: u16) -> Self;
}

impl Narrow for RuleInput {
    fn proto(mut self, protocol: u8) -> Self {
        self.protocols.push(protocol);
        self
    }

    fn port(mut self, port: u16) -> Self {
        self.destination_ports.push(port..=port);
        self
    }
}

pub(crate) fn set(name: &str, layer: Layer, rules: Vec<RuleInput>) -> RuleSetInput {
    RuleSetInput {
        name: name.to_owned(),
        layer,
        covers_platform: false,
        rules,
    }
}

/// The group of a NIC.
pub(crate) fn nic_group(rules: Vec<RuleInput>) -> RuleSetInput {
    set("nic-group", Layer::NicGroup, rules)
}
