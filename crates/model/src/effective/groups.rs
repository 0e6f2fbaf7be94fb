//! Rule details that the view and the policy share.

use policy::input::Access;

use crate::topology::{AdminRule, Direction, Endpoint, Protocol, RuleAccess, SecurityRule};

/// A rule every group ends in.
pub(crate) struct DefaultRule {
    pub(crate) name: &'static str,
    priority: u16,
    direction: Direction,
    access: RuleAccess,
    source: Option<&'static str>,
    destination: Option<&'static str>,
}

/// The default rules, by direction and ascending priority.
pub(crate) const DEFAULT_RULES: [DefaultRule; 6] = {
    use Direction::{Inbound, Outbound};
    use RuleAccess::{Allow, Deny};
    const VNET: Option<&str> = Some("VirtualNetwork");
    const fn rule(
        name: &'static str,
        priority: u16,
        direction: Direction,
        access: RuleAccess,
        source: Option<&'static str>,
        destination: Option<&'static str>,
    ) -> DefaultRule {
        DefaultRule {
            name,
            priority,
            direction,
            access,
            source,
            destination,
        }
    }
    let balancer = Some("AzureLoadBalancer");
    [
        rule("AllowVnetInBound", 65000, Inbound, Allow, VNET, VNET),
        rule(
            "AllowAzureLoadBalancerInBound",
            65001,
            Inbound,
            Allow,
            balancer,
            None,
        ),
        rule("DenyAllInBound", 65500, Inbound, Deny, None, None),
        rule("AllowVnetOutBound", 65000, Outbound, Allow, VNET, VNET),
        rule(
            "AllowInternetOutBound",
            65001,
            Outbound,
            Allow,
            None,
            Some("Internet"),
        ),
        rule("DenyAllOutBound", 65500, Outbound, Deny, None, None),
    ]
};

impl DefaultRule {
    pub(crate) fn rule(&self) -> SecurityRule {
        let side = |tag: Option<&str>| match tag {
            Some(tag) => Endpoint::Tag(tag.to_owned()),
            None => Endpoint::Any,
        };
        SecurityRule {
            name: self.name.to_owned(),
            description: None,
            priority: self.priority,
            direction: self.direction,
            access: self.access,
            protocol: Protocol::Any,
            source: side(self.source),
            source_ports: Vec::new(),
            destination: side(self.destination),
            destination_ports: Vec::new(),
        }
    }
}

/// The admin rules for one virtual network.
pub(crate) struct AdminRules<'t>(pub(crate) Vec<&'t SecurityRule>);

impl<'t> AdminRules<'t> {
    pub(crate) fn of(rules: &'t [AdminRule], vnet: &str, direction: Direction) -> AdminRules<'t> {
        let ours = |admin: &&AdminRule| admin.covers(vnet) && admin.rule.direction == direction;
        AdminRules(rules.iter().filter(ours).map(|admin| &admin.rule).collect())
    }
}

pub(super) fn access(access: RuleAccess) -> Access {
    match access {
        RuleAccess::Allow => Access::Allow,
        RuleAccess::AlwaysAllow => Access::AlwaysAllow,
        RuleAccess::Deny => Access::Deny,
    }
}

/// IP protocol numbers; none means any.
pub(crate) fn protocol_numbers(protocol: Protocol) -> &'static [u8] {
    match protocol {
        Protocol::Tcp => &[6],
        Protocol::Udp => &[17],
        Protocol::Icmp => &[1, 58],
        Protocol::Esp => &[50],
        Protocol::Ah => &[51],
        Protocol::Any => &[],
    }
}

/// Whether the rule is about the platform's addresses, which are exempt otherwise.
pub(crate) fn names_platform(rule: &SecurityRule) -> bool {
    let platform = |side: &Endpoint| match side {
        Endpoint::Tag(tag) => tag.starts_with("AzurePlatform"),
        Endpoint::Any | Endpoint::Prefixes(_) | Endpoint::Asgs(_) => false,
    };
    platform(&rule.source) || platform(&rule.destination)
}
