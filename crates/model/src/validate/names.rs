//! Looking up names, with advice when there is no such thing.

use std::collections::HashSet;

use crate::diagnostics::{Code, Sink};
use crate::document::Document;
use crate::document::extract::suggestion;
use crate::document::node::shorten;
use crate::place::At;

/// Every name the document gives, whether or not what it names was good: one mistake should not
/// make errors of all references to it.
pub(super) struct Names<'d> {
    pub(super) vnets: HashSet<&'d str>,
    pub(super) nsgs: HashSet<&'d str>,
    pub(super) asgs: HashSet<&'d str>,
    pub(super) route_tables: HashSet<&'d str>,
    tags: Vec<&'d str>,
}

/// The tags that are known without being declared.
pub(crate) const PLATFORM_TAGS: [&str; 6] = [
    "VirtualNetwork",
    "Internet",
    "AzureLoadBalancer",
    "AzurePlatformDNS",
    "AzurePlatformIMDS",
    "AzurePlatformLKM",
];

/// The tag's own spelling, when the platform has such a tag.
pub(super) fn platform_tag(name: &str) -> Option<&'static str> {
    PLATFORM_TAGS
        .into_iter()
        .find(|tag| tag.eq_ignore_ascii_case(name))
}

impl<'d> Names<'d> {
    pub(super) fn of(document: &'d Document) -> Names<'d> {
        fn keys<T>(named: &[(At<String>, T)]) -> HashSet<&str> {
            named.iter().map(|(name, _)| name.value.as_str()).collect()
        }
        Names {
            vnets: keys(&document.vnets),
            nsgs: keys(&document.nsgs),
            asgs: document
                .asgs
                .iter()
                .map(|name| name.value.as_str())
                .collect(),
            route_tables: keys(&document.route_tables),
            tags: document
                .service_tags
                .iter()
                .map(|(name, _)| name.value.as_str())
                .collect(),
        }
    }

    /// The name when it is one of `known`; otherwise reports that there is no such `what`, and
    /// where (`section`) one would be.
    pub(super) fn known(
        name: &At<String>,
        known: &HashSet<&str>,
        what: &str,
        section: &str,
        sink: &mut Sink,
    ) -> Option<String> {
        if known.contains(name.value.as_str()) {
            return Some(name.value.clone());
        }
        let message = format!("no {what} `{}`", shorten(&name.value));
        let mut sorted: Vec<&str> = known.iter().copied().collect();
        sorted.sort_unstable();
        let near = suggestion(&name.value, sorted);
        let help = near.unwrap_or_else(|| format!("they are declared under `{section}`"));
        sink.error_help(&name.place, Code::UnknownReference, message, help);
        None
    }

    pub(super) fn nsg(&self, name: Option<&At<String>>, sink: &mut Sink) -> Option<String> {
        Names::known(name?, &self.nsgs, "network security group", "nsgs", sink)
    }

    pub(super) fn asg(&self, name: &At<String>, sink: &mut Sink) -> Option<String> {
        Names::known(name, &self.asgs, "application security group", "asgs", sink)
    }

    pub(super) fn route_table(&self, name: Option<&At<String>>, sink: &mut Sink) -> Option<String> {
        Names::known(
            name?,
            &self.route_tables,
            "route table",
            "routeTables",
            sink,
        )
    }

    /// A tag for a rule: the platform's, or a declared one; in its own spelling.
    pub(super) fn tag(&self, name: &At<String>, sink: &mut Sink) -> Option<String> {
        match platform_tag(&name.value) {
            Some(tag) => Some(tag.to_owned()),
            None => self.lookup_tag(name, &PLATFORM_TAGS, sink),
        }
    }

    /// A tag whose prefixes are known to everybody alike, for routes: a declared one only.
    pub(super) fn declared_tag(&self, name: &At<String>, sink: &mut Sink) -> Option<String> {
        if let Some(tag) = platform_tag(&name.value) {
            let message = format!("tag `{tag}` means other addresses in every network");
            let help = "a route takes a prefix, or a tag declared under `serviceTags`".to_owned();
            sink.error_help(&name.place, Code::BadValue, message, help);
            return None;
        }
        self.lookup_tag(name, &[], sink)
    }

    fn lookup_tag(&self, name: &At<String>, also: &[&str], sink: &mut Sink) -> Option<String> {
        if let Some(tag) = self
            .tags
            .iter()
            .find(|tag| tag.eq_ignore_ascii_case(&name.value))
        {
            return Some((*tag).to_owned());
        }
        let message = format!("no service tag `{}`", shorten(&name.value));
        let all = self.tags.iter().copied().chain(also.iter().copied());
        let near = suggestion(&name.value, all);
        let help = near.unwrap_or_else(|| {
            "declare its prefixes under `serviceTags`: the platform's lists are not built in"
                .to_owned()
        });
        sink.error_help(&name.place, Code::UnknownReference, message, help);
        None
    }
}
