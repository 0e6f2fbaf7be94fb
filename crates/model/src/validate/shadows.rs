//! Rules that can never decide, as an earlier one matches all they do.

use crate::diagnostics::{Code, Sink};
use crate::document;
use crate::topology::{Endpoint, PortRange, Protocol, SecurityRule};

/// Comparing two lists costs their product; longer ones than this are not compared.
const LIST_MAX: usize = 32;

/// `rules` by direction and ascending priority.
pub(super) fn report(rules: &[(&document::Rule, SecurityRule)], sink: &mut Sink) {
    for (index, (written, rule)) in rules.iter().enumerate() {
        let earlier = rules[..index].iter().map(|(_, earlier)| earlier);
        // Two of one priority are reported as that.
        let same_way = |earlier: &&SecurityRule| {
            earlier.direction == rule.direction && earlier.priority < rule.priority
        };
        if let Some(wide) = earlier
            .filter(same_way)
            .find(|earlier| covers(earlier, rule))
        {
            let message = format!(
                "rule `{}` never decides: `{}` (priority {}) matches all that it does",
                rule.name, wide.name, wide.priority
            );
            let help = "remove it, or give it a lower number than the other's";
            sink.warning(&written.name.place, Code::RuleOrder, message, help);
        }
    }
}

fn covers(wide: &SecurityRule, narrow: &SecurityRule) -> bool {
    (wide.protocol == Protocol::Any || wide.protocol == narrow.protocol)
        && ports_cover(&wide.source_ports, &narrow.source_ports)
        && ports_cover(&wide.destination_ports, &narrow.destination_ports)
        && side_covers(&wide.source, &narrow.source)
        && side_covers(&wide.destination, &narrow.destination)
}

fn ports_cover(wide: &[PortRange], narrow: &[PortRange]) -> bool {
    let within = |n: &PortRange| wide.iter().any(|w| w.first <= n.first && n.last <= w.last);
    let comparable = wide.len() <= LIST_MAX && narrow.len() <= LIST_MAX;
    wide.is_empty() || (!narrow.is_empty() && comparable && narrow.iter().all(within))
}

fn side_covers(wide: &Endpoint, narrow: &Endpoint) -> bool {
    match (wide, narrow) {
        (Endpoint::Any, _) => true,
        (Endpoint::Prefixes(wide), Endpoint::Prefixes(narrow)) => {
            let comparable = wide.len() <= LIST_MAX && narrow.len() <= LIST_MAX;
            comparable && narrow.iter().all(|n| wide.iter().any(|w| w.contains(n)))
        }
        (Endpoint::Tag(wide), Endpoint::Tag(narrow)) => wide == narrow,
        (Endpoint::Asgs(wide), Endpoint::Asgs(narrow)) => {
            narrow.iter().all(|name| wide.contains(name))
        }
        // What a tag or a group stands for depends on who asks.
        _ => false,
    }
}
