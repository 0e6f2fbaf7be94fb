//! The desired state in parts that change one at a time: a part for each rule, network and guest,
//! and for what is known of each NIC.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use flow::PortId;
use model::{Generations, NicGenerations, NicName, Nsg, SecurityRule, Topology};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::agent::{Desired, Revocation};
use crate::uplink::Underlay;

/// A part's key, and its document; None when there is to be none.
pub(super) type Part = (String, Option<Vec<u8>>);

/// The key under which agents before this one kept everything in one document.
pub(super) const WHOLE: &str = "desired";

/// What `wanted` has otherwise than `kept`.
pub(super) fn changed(kept: &Desired, wanted: &Desired) -> serde_json::Result<Vec<Part>> {
    let mut parts = Changed(Vec::new());
    if !Arc::ptr_eq(&kept.topology, &wanted.topology) {
        parts.topology(&kept.topology, &wanted.topology)?;
    }
    let numbers = |desired: &'_ Desired| -> Vec<(NicName, u16)> {
        let ports = desired.ports.iter();
        ports.map(|(nic, port)| (nic.clone(), port.0)).collect()
    };
    if !Arc::ptr_eq(&kept.ports, &wanted.ports) {
        parts.many("port", numbers(kept), numbers(wanted), NicName::to_string)?;
    }
    let (before, after) = (&kept.generations, &wanted.generations);
    parts.one("generation", &before.policy, &after.policy)?;
    if !Arc::ptr_eq(&before.nics, &after.nics) {
        parts.many("path", &*before.nics, &*after.nics, |nic| nic.to_string())?;
    }
    parts.many("revoked", &kept.revoked, &wanted.revoked, |nic| {
        nic.to_string()
    })?;
    parts.many("attached", &kept.attached, &wanted.attached, |guest| {
        (*guest).clone()
    })?;
    if !Arc::ptr_eq(&kept.namespaces, &wanted.namespaces) {
        let named = |desired: &Desired| -> Vec<(String, ())> {
            desired
                .namespaces
                .iter()
                .map(|name| (name.clone(), ()))
                .collect()
        };
        parts.many("namespace", named(kept), named(wanted), String::clone)?;
    }
    parts.option("underlay", kept.underlay.as_ref(), wanted.underlay.as_ref())?;
    Ok(parts.0)
}

struct Changed(Vec<Part>);

type Groups = BTreeMap<String, Nsg>;

impl Changed {
    fn topology(&mut self, kept: &Topology, wanted: &Topology) -> serde_json::Result<()> {
        // A section that is new is not to be forgotten.
        let Topology {
            name,
            vnets,
            nsgs,
            security_admin_rules,
            asgs,
            service_tags,
            route_tables,
            guests,
            uplink,
            mappings,
            host,
        } = wanted;
        let own = |name: &&String| (*name).clone();
        self.option("name", kept.name.as_ref(), name.as_ref())?;
        self.many("vnet", &kept.vnets, vnets, own)?;
        self.groups(&kept.nsgs, nsgs)?;
        let rules = &kept.security_admin_rules;
        self.one("securityAdminRules", rules, security_admin_rules)?;
        self.one("asgs", &kept.asgs, asgs)?;
        self.many("serviceTag", &kept.service_tags, service_tags, own)?;
        self.many("routeTable", &kept.route_tables, route_tables, own)?;
        self.many("guest", &kept.guests, guests, own)?;
        self.option("uplink", kept.uplink.as_ref(), uplink.as_ref())?;
        let place = |mapping: &'_ model::Mapping| (mapping.vnet.clone(), mapping.address);
        let kept_mappings = kept
            .mappings
            .iter()
            .map(|mapping| (place(mapping), mapping));
        let mappings = mappings.iter().map(|mapping| (place(mapping), mapping));
        self.many("mapping", kept_mappings, mappings, |(vnet, address)| {
            format!("{vnet}/{address}")
        })?;
        self.one("host", &kept.host, host)
    }

    /// Groups, each with nothing in its part, and their rules.
    fn groups(&mut self, kept: &Groups, wanted: &Groups) -> serde_json::Result<()> {
        let names = |groups: &Groups| -> Vec<(String, ())> {
            groups.keys().map(|name| (name.clone(), ())).collect()
        };
        self.many("nsg", names(kept), names(wanted), String::clone)?;
        let none = Nsg::default();
        let gone = kept.iter().filter(|(name, _)| !wanted.contains_key(*name));
        for (name, group) in gone {
            self.rules(name, &group.rules, &none.rules)?;
        }
        for (name, group) in wanted {
            let before = kept.get(name).unwrap_or(&none);
            self.rules(name, &before.rules, &group.rules)?;
        }
        Ok(())
    }

    fn rules(
        &mut self,
        group: &str,
        kept: &[SecurityRule],
        wanted: &[SecurityRule],
    ) -> serde_json::Result<()> {
        let same = |(kept, wanted): &(&SecurityRule, &SecurityRule)| kept == wanted;
        let first = kept.iter().zip(wanted).take_while(same).count();
        let (kept, wanted) = (&kept[first..], &wanted[first..]);
        let ends = kept.iter().rev().zip(wanted.iter().rev());
        let last = ends.take_while(same).count();
        let by_name = |rules: &'_ [SecurityRule]| -> BTreeMap<String, SecurityRule> {
            let changed = rules[..rules.len() - last].iter();
            changed
                .map(|rule| (rule.name.clone(), rule.clone()))
                .collect()
        };
        self.many("rule", by_name(kept), by_name(wanted), |rule| {
            format!("{group}/{rule}")
        })
    }

    fn one<T: PartialEq + Serialize>(
        &mut self,
        key: &str,
        kept: &T,
        wanted: &T,
    ) -> serde_json::Result<()> {
        self.option(key, Some(kept), Some(wanted))
    }

    fn option<T: PartialEq + Serialize>(
        &mut self,
        key: &str,
        kept: Option<&T>,
        wanted: Option<&T>,
    ) -> serde_json::Result<()> {
        if kept != wanted {
            let document = wanted.map(serde_json::to_vec).transpose()?;
            self.0.push((key.to_owned(), document));
        }
        Ok(())
    }

    /// Parts of one kind, each with a name; both come in the order of their keys.
    fn many<K: Ord, T: PartialEq + Serialize>(
        &mut self,
        kind: &str,
        kept: impl IntoIterator<Item = (K, T)>,
        wanted: impl IntoIterator<Item = (K, T)>,
        name: impl Fn(&K) -> String,
    ) -> serde_json::Result<()> {
        let mut kept = kept.into_iter().peekable();
        let key = |of: &K| format!("{kind}/{}", name(of));
        for (this, value) in wanted {
            while let Some((gone, _)) = kept.next_if(|(other, _)| *other < this) {
                self.0.push((key(&gone), None));
            }
            let same = kept.next_if(|(other, _)| *other == this);
            if same.is_none_or(|(_, before)| before != value) {
                self.0.push((key(&this), Some(serde_json::to_vec(&value)?)));
            }
        }
        self.0.extend(kept.map(|(gone, _)| (key(&gone), None)));
        Ok(())
    }
}

/// A desired state that is being read.
#[derive(Default)]
pub(super) struct Parts {
    topology: Topology,
    ports: BTreeMap<NicName, PortId>,
    generation: u32,
    paths: BTreeMap<NicName, NicGenerations>,
    namespaces: BTreeSet<String>,
    rest: Desired,
}

impl Parts {
    /// Reads a part.
    pub(super) fn read(&mut self, key: &str, document: &[u8]) -> anyhow::Result<()> {
        self.read_part(key, document)
            .with_context(|| format!("document `{key}` of the state store is not readable"))
    }

    fn read_part(&mut self, key: &str, document: &[u8]) -> anyhow::Result<()> {
        let (kind, name) = key.split_once('/').unwrap_or((key, ""));
        let own = || name.to_owned();
        let nic = || name.parse::<NicName>();
        let topology = &mut self.topology;
        match kind {
            "name" => topology.name = Some(json(document)?),
            "vnet" => drop(topology.vnets.insert(own(), json(document)?)),
            "nsg" => drop(topology.nsgs.entry(own()).or_default()),
            "rule" => {
                let (group, _) = name.split_once('/').context("it has no name")?;
                let group = topology.nsgs.entry(group.to_owned()).or_default();
                group.rules.push(json(document)?);
            }
            "securityAdminRules" => topology.security_admin_rules = json(document)?,
            "asgs" => topology.asgs = json(document)?,
            "serviceTag" => drop(topology.service_tags.insert(own(), json(document)?)),
            "routeTable" => drop(topology.route_tables.insert(own(), json(document)?)),
            "guest" => drop(topology.guests.insert(own(), json(document)?)),
            "uplink" => topology.uplink = Some(json(document)?),
            "mapping" => topology.mappings.push(json(document)?),
            "host" => topology.host = json(document)?,
            "port" => drop(self.ports.insert(nic()?, PortId(json(document)?))),
            "generation" => self.generation = json(document)?,
            "path" => drop(self.paths.insert(nic()?, json(document)?)),
            "revoked" => drop(self.rest.revoked.insert(nic()?, json(document)?)),
            "attached" => drop(self.rest.attached.insert(own(), json(document)?)),
            "namespace" => drop(self.namespaces.insert(own())),
            "underlay" => self.rest.underlay = Some(json(document)?),
            _ => anyhow::bail!("this agent knows no `{kind}`; is it older than the one before?"),
        }
        Ok(())
    }

    /// What was read, once it is all.
    pub(super) fn finish(mut self) -> Desired {
        // Keys are in the order of text, and neither priorities nor addresses are.
        for group in self.topology.nsgs.values_mut() {
            group
                .rules
                .sort_by_key(|rule| (rule.direction, rule.priority));
        }
        let mappings = &mut self.topology.mappings;
        mappings.sort_by(|a, b| (&a.vnet, a.address).cmp(&(&b.vnet, b.address)));
        Desired {
            topology: Arc::new(self.topology),
            ports: Arc::new(self.ports),
            generations: Generations {
                policy: self.generation,
                nics: Arc::new(self.paths),
            },
            namespaces: Arc::new(self.namespaces),
            ..self.rest
        }
    }
}

/// Everything in one document, as agents before this one kept it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Whole {
    topology: Topology,
    ports: BTreeMap<NicName, u16>,
    generations: Generations,
    revoked: BTreeMap<NicName, Revocation>,
    attached: BTreeMap<String, PathBuf>,
    namespaces: BTreeSet<String>,
    underlay: Option<Underlay>,
}

pub(super) fn read_whole(document: &[u8]) -> anyhow::Result<Desired> {
    let whole: Whole = json(document)
        .with_context(|| format!("document `{WHOLE}` of the state store is not readable"))?;
    let ports = whole.ports.into_iter();
    Ok(Desired {
        topology: Arc::new(whole.topology),
        ports: Arc::new(ports.map(|(nic, port)| (nic, PortId(port))).collect()),
        generations: whole.generations,
        revoked: whole.revoked,
        attached: whole.attached,
        namespaces: Arc::new(whole.namespaces),
        underlay: whole.underlay,
    })
}

fn json<T: DeserializeOwned>(document: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(document)
}
