//! Rules that can never decide, as an earlier one matches all they do.

use std::collections::HashMap;

use crate::diagnostics::{Code, Sink};
use crate::document;
use crate::topology::{Endpoint, PortRange, Protocol, SecurityRule};

/// Comparing two lists costs their product; longer ones than this are not compared.
const LIST_MAX: usize = 32;

/// `rules` by direction and ascending priority.
pub(super) fn report(rules: &[(&document::Rule, SecurityRule)], sink: &mut Sink) {
    let mut earlier = Earlier::default();
    for (index, (written, rule)) in rules.iter().enumerate() {
        // Two of one priority are reported as that.
        let same_way = |earlier: &SecurityRule| {
            earlier.direction == rule.direction && earlier.priority < rule.priority
        };
        let covering = |index: &&usize| {
            let (_, earlier) = &rules[**index];
            same_way(earlier) && covers(earlier, rule)
        };
        if let Some(wide) = earlier.first(rule, covering) {
            let (_, wide) = &rules[wide];
            let message = format!(
                "rule `{}` never decides: `{}` (priority {}) matches all that it does",
                rule.name, wide.name, wide.priority
            );
            let help = "remove it, or give it a lower number than the other's";
            sink.warning(&written.name.place, Code::RuleOrder, message, help);
        }
        earlier.push(index, rule);
    }
}

/// Rules by their index, apart by what they can cover: most rules of a large group are for one
/// port, and need be held against those of the same port only.
#[derive(Default)]
struct Earlier {
    /// For one destination port.
    one_port: HashMap<u16, Vec<usize>>,
    /// For several, or any.
    more: Vec<usize>,
}

impl Earlier {
    fn push(&mut self, index: usize, rule: &SecurityRule) {
        match one_port(rule) {
            Some(port) => self.one_port.entry(port).or_default().push(index),
            None => self.more.push(index),
        }
    }

    /// The first of those that could cover `rule` which does.
    fn first(&self, rule: &SecurityRule, covers: impl Fn(&&usize) -> bool) -> Option<usize> {
        let same_port = one_port(rule).and_then(|port| self.one_port.get(&port));
        let same_port = same_port.and_then(|rules| rules.iter().find(&covers));
        let more = self.more.iter().find(&covers);
        same_port.into_iter().chain(more).min().copied()
    }
}

/// The only destination port of a rule that has one only.
fn one_port(rule: &SecurityRule) -> Option<u16> {
    let (first, others) = rule.destination_ports.split_first()?;
    let one = first.first == first.last && others.iter().all(|other| other == first);
    one.then_some(first.first)
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
