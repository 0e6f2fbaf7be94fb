use std::sync::Arc;

use crate::classifier::{self, Addresses, Classifier, Located};
use crate::error::{CompileError, Counted};
use crate::input::{Access, AddressSet, Layer, RuleInput, RuleSetInput};
use crate::intervals::CUTS_MAX;
use crate::limits::Limits;
use crate::observer::RuleView;
use crate::tuple::Tuple;

/// A compiled rule set.
#[derive(Debug)]
pub(crate) struct RuleSet {
    /// What it was compiled from, which has the names.
    source: Arc<RuleSetInput>,
    /// What each rule says: apart from the rest, so that a decision touches little memory.
    accesses: Box<[Access]>,
    classifier: Classifier,
}

impl RuleSet {
    /// Checks and compiles.
    pub(crate) fn new(source: &Arc<RuleSetInput>, limits: &Limits) -> Result<Self, CompileError> {
        check(source, limits)?;
        let bytes_max = limits.set_bytes_max;
        let classifier =
            Classifier::new(&source.rules, bytes_max).map_err(|_| CompileError::TooEntangled {
                place: place(source),
                bytes_max,
            })?;
        let accesses = source.rules.iter().map(|rule| rule.access).collect();
        Ok(RuleSet {
            source: Arc::clone(source),
            accesses,
            classifier,
        })
    }

    /// Which layer it is.
    pub(crate) fn layer(&self) -> Layer {
        self.source.layer
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.source.name
    }

    /// Whether traffic with the platform passes it unasked. Admin rules are always asked.
    pub(crate) fn exempts_platform(&self) -> bool {
        self.source.layer != Layer::SecurityAdmin && !self.source.covers_platform
    }

    /// Looks a packet's addresses up, ahead of [`RuleSet::first_match`].
    #[inline]
    pub(crate) fn locate<A: Addresses>(&self, addresses: A) -> Located {
        addresses.locate(&self.classifier)
    }

    /// The first rule that matches, by index, and what it says.
    #[inline]
    pub(crate) fn first_match<A: Addresses>(
        &self,
        tuple: &Tuple,
        addresses: A,
        located: Located,
    ) -> Option<(usize, Access)> {
        let first = addresses.first_match(&self.classifier, tuple, located);
        first.map(|index| (index, self.accesses[index]))
    }

    /// The rule at `index`.
    pub(crate) fn rule(&self, index: usize) -> RuleView<'_> {
        let RuleInput {
            name,
            priority,
            access,
            ..
        } = &self.source.rules[index];
        RuleView {
            name,
            priority: *priority,
            access: *access,
            index,
        }
    }

    /// Bytes on the heap, without the input.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.accesses) + self.classifier.memory_bytes()
    }
}

fn place(set: &RuleSetInput) -> String {
    format!("rule set `{}`", set.name)
}

fn check(set: &RuleSetInput, limits: &Limits) -> Result<(), CompileError> {
    let rules_max = limits.rules_max.min(classifier::RULES_MAX);
    Counted::Rules.within(set.rules.len(), rules_max, || place(set))?;
    let mut previous = 0;
    let mut prefixes = 0;
    for rule in &set.rules {
        if rule.priority < previous {
            let (set, rule_name) = (set.name.clone(), rule.name.clone());
            let priority = rule.priority;
            return Err(CompileError::RuleOrder {
                set,
                rule: rule_name,
                priority,
                previous,
            });
        }
        previous = rule.priority;
        if rule.access == Access::AlwaysAllow && set.layer != Layer::SecurityAdmin {
            let (set, rule) = (set.name.clone(), rule.name.clone());
            return Err(CompileError::AlwaysAllowInGroup { set, rule });
        }
        let place = || format!("rule `{}` of `{}`", rule.name, set.name);
        for side in [&rule.source, &rule.destination] {
            if let AddressSet::Prefixes(list) = side {
                Counted::Prefixes.within(list.len(), limits.prefixes_per_rule_max, place)?;
                prefixes += list.len();
            }
        }
        for ranges in [&rule.source_ports, &rule.destination_ports] {
            Counted::PortRanges.within(ranges.len(), limits.port_ranges_per_rule_max, place)?;
        }
    }
    // Each cuts the line of its family and side twice at most.
    let prefixes_max = limits.prefixes_per_set_max.min(CUTS_MAX / 2);
    Counted::Prefixes.within(prefixes, prefixes_max, || place(set))
}
