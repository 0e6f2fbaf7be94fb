//! Security groups, admin rules, application groups and service tags.

use ipnet::IpNet;

use super::extract::{Cursor, Fields};
use super::values::{is_any, parse_prefix};
use super::{AdminRule, Named, Nsg, Rule, Side, keys, values};
use crate::diagnostics::{Code, Sink};
use crate::place::At;
use crate::topology::{GroupAccess, Protocol, RuleAccess};
use crate::validate::limits;

pub(super) fn read(cursor: &Cursor<'_>, sink: &mut Sink) -> Vec<Named<Nsg>> {
    let named = cursor.named("network security groups", sink);
    let group = |(name, cursor): (At<String>, Cursor<'_>)| {
        let fields = cursor.fields(keys::NSG, sink);
        let rules = fields
            .get("rules")
            .map(|cursor| cursor.items("rules", sink));
        let rules = rules
            .unwrap_or_default()
            .iter()
            .filter_map(|cursor| group_rule(cursor, sink))
            .collect();
        (name, Nsg { rules })
    };
    named.into_iter().map(group).collect()
}

pub(super) fn read_admin(cursor: &Cursor<'_>, sink: &mut Sink) -> Vec<AdminRule> {
    let items = cursor.items("security admin rules", sink);
    items
        .iter()
        .filter_map(|cursor| admin_rule(cursor, sink))
        .collect()
}

/// A list of names, or a map from names to nothing.
pub(super) fn read_asgs(cursor: &Cursor<'_>, sink: &mut Sink) -> Vec<At<String>> {
    if !cursor.is_map() {
        let items = cursor.items("names of application security groups", sink);
        return items
            .iter()
            .filter_map(|cursor| cursor.name("a name", sink))
            .collect();
    }
    let named = cursor.named("application security groups", sink);
    for (_, body) in &named {
        body.fields(&[], sink);
    }
    named.into_iter().map(|(name, _)| name).collect()
}

pub(super) fn read_tags(cursor: &Cursor<'_>, sink: &mut Sink) -> Vec<Named<Vec<At<IpNet>>>> {
    let named = cursor.named("service tags", sink);
    named
        .into_iter()
        .map(|(name, cursor)| (name, values::prefixes(cursor.one_or_many(), sink)))
        .collect()
}

fn group_rule(cursor: &Cursor<'_>, sink: &mut Sink) -> Option<Rule> {
    let fields = cursor.fields(keys::RULE, sink);
    let access = fields
        .required("access", sink)
        .and_then(|cursor| cursor.choice::<GroupAccess>(sink))
        .map(RuleAccess::from);
    let sources = fields.get("sourceApplicationSecurityGroups");
    let destinations = fields.get("destinationApplicationSecurityGroups");
    let source = side(fields.get("source"), sources, sink);
    let destination = side(fields.get("destination"), destinations, sink);
    rule(
        &fields,
        limits::RULE_PRIORITIES,
        access,
        source,
        destination,
        sink,
    )
}

fn admin_rule(cursor: &Cursor<'_>, sink: &mut Sink) -> Option<AdminRule> {
    let fields = cursor.fields(keys::ADMIN_RULE, sink);
    let access = fields
        .required("access", sink)
        .and_then(|cursor| cursor.choice::<RuleAccess>(sink));
    let [source, destination] = ["source", "destination"].map(|name| {
        let cursor = fields.get(name);
        if let Some(cursor) = cursor.as_ref().filter(|cursor| cursor.is_map()) {
            let message = "application groups in a security admin rule; \
                           it takes prefixes, one service tag or \"*\"";
            sink.error(&cursor.place(), Code::BadValue, message);
            return None;
        }
        side(cursor, None, sink)
    });
    let vnets = values::names(fields.many("vnets"), "the name of a virtual network", sink);
    let rule = rule(
        &fields,
        limits::ADMIN_PRIORITIES,
        access,
        source,
        destination,
        sink,
    )?;
    Some(AdminRule { rule, vnets })
}

/// What both kinds of rules share.
fn rule(
    fields: &Fields<'_>,
    priorities: std::ops::RangeInclusive<u16>,
    access: Option<RuleAccess>,
    source: Option<Side>,
    destination: Option<Side>,
    sink: &mut Sink,
) -> Option<Rule> {
    let name = fields
        .required("name", sink)
        .and_then(|cursor| cursor.name("a name", sink));
    let priority = fields
        .required("priority", sink)
        .and_then(|cursor| cursor.integer(priorities, sink));
    let direction = fields
        .required("direction", sink)
        .and_then(|cursor| cursor.choice(sink));
    let protocol = match fields.get("protocol") {
        Some(cursor) => cursor.choice(sink),
        None => Some(Protocol::Any),
    };
    let description = fields
        .get("description")
        .and_then(|cursor| cursor.prose(sink));
    let source_ports = values::ports(fields.many("sourcePorts"), sink);
    let destination_ports = values::ports(fields.many("destinationPorts"), sink);
    Some(Rule {
        name: name?,
        description,
        priority: priority?,
        direction: direction?,
        access: access?,
        protocol: protocol?,
        source: source?,
        source_ports,
        destination: destination?,
        destination_ports,
    })
}

/// One side of a rule; without a word about it, any. `None` when something was reported.
fn side(
    cursor: Option<Cursor<'_>>,
    long_asgs: Option<Cursor<'_>>,
    sink: &mut Sink,
) -> Option<Side> {
    match (cursor, long_asgs) {
        (Some(_), Some(long)) => {
            let message = "both addresses and application groups for one side of the rule";
            sink.error(&long.place(), Code::Conflict, message);
            None
        }
        (None, None) => Some(Side::Any),
        (None, Some(long)) => Some(asgs(&long, sink)),
        (Some(cursor), None) if cursor.is_map() => {
            let fields = cursor.fields(keys::ASG_SIDE, sink);
            Some(asgs(&fields.required("asg", sink)?, sink))
        }
        (Some(cursor), None) => addresses(&cursor, sink),
    }
}

fn asgs(cursor: &Cursor<'_>, sink: &mut Sink) -> Side {
    let what = "the name of an application security group";
    if cursor.one_or_many().is_empty() {
        let message = "an empty list; a rule for no group never matches";
        sink.error(&cursor.place(), Code::BadValue, message);
    }
    Side::Asgs(values::names(cursor.one_or_many(), what, sink))
}

enum Word {
    Any,
    Prefix(IpNet),
    Tag(String),
}

fn addresses(cursor: &Cursor<'_>, sink: &mut Sink) -> Option<Side> {
    let expected = "a prefix, an address, a service tag, \"*\", or a map with the key asg";
    let items = cursor.one_or_many();
    let words: Vec<At<Word>> = items
        .iter()
        .filter_map(|item| item.scalar(expected, sink, word))
        .collect();
    if words.len() < items.len() {
        return None;
    }
    let many = words.len() > 1;
    let mut prefixes = Vec::with_capacity(words.len());
    for word in words {
        match word.value {
            Word::Prefix(prefix) => prefixes.push(prefix),
            Word::Any if !many => return Some(Side::Any),
            Word::Tag(tag) if !many => {
                return Some(Side::Tag(At {
                    value: tag,
                    place: word.place,
                }));
            }
            Word::Any | Word::Tag(_) => {
                let message = "a service tag or \"*\" in a list; it must stand alone";
                let help = "write a rule for each".to_owned();
                sink.error_help(&word.place, Code::Conflict, message, help);
                return None;
            }
        }
    }
    if prefixes.is_empty() {
        sink.error(
            &cursor.place(),
            Code::BadValue,
            "an empty list; \"*\" stands for all addresses",
        );
        return None;
    }
    Some(Side::Prefixes(prefixes))
}

fn word(text: &str) -> Result<Word, String> {
    if is_any(text) {
        return Ok(Word::Any);
    }
    let name = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '_';
    let tag = text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(name);
    if tag {
        Ok(Word::Tag(text.to_owned()))
    } else {
        parse_prefix(text).map(Word::Prefix)
    }
}
