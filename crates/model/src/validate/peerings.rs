//! Peerings: both sides, no overlap.

use std::collections::{BTreeMap, HashSet};

use ipnet::IpNet;

use super::names::Names;
use super::networks::key;
use super::{limit, limits, unique};
use crate::diagnostics::{Code, Sink};
use crate::document::{self, Document};
use crate::topology::{Peering, PeeringState, Vnet};

pub(super) fn resolve(
    document: &Document,
    names: &Names<'_>,
    vnets: &mut BTreeMap<String, Vnet>,
    sink: &mut Sink,
) {
    let sides: HashSet<(&str, &str)> = document
        .vnets
        .iter()
        .flat_map(|(name, vnet)| {
            vnet.peerings
                .iter()
                .map(|peering| (name.value.as_str(), peering.vnet.value.as_str()))
        })
        .collect();
    for (name, vnet) in &document.vnets {
        let count = vnet.peerings.len();
        limit(
            count,
            limits::PEERINGS_PER_VNET_MAX,
            "peerings",
            &name.place,
            sink,
        );
        unique(
            vnet.peerings.iter().map(|peering| &peering.vnet),
            "a peering with",
            sink,
        );
        let mut resolved = BTreeMap::new();
        for peering in &vnet.peerings {
            let known = Names::known(
                &peering.vnet,
                &names.vnets,
                "virtual network",
                "vnets",
                sink,
            );
            let Some(remote) = known else { continue };
            if remote == name.value {
                let message = "a virtual network cannot be its own peer";
                sink.error(&peering.vnet.place, Code::BadValue, message);
                continue;
            }
            let both = sides.contains(&(remote.as_str(), name.value.as_str()));
            resolved.insert(remote, side(name.value.as_str(), peering, both, sink));
        }
        report_overlaps(&name.value, vnet, vnets, sink);
        if let Some(vnet) = vnets.get_mut(&name.value) {
            vnet.peerings = resolved;
        }
    }
}

fn side(own: &str, peering: &document::Peering, both: bool, sink: &mut Sink) -> Peering {
    if !both {
        let remote = &peering.vnet.value;
        let message = format!(
            "peering with `{remote}` stays Initiated: `{remote}` has none with `{own}`, \
             so no traffic passes"
        );
        let help = format!("add `{own}` to `vnets.{remote}.peerings`");
        sink.warning(&peering.vnet.place, Code::PeeringInitiated, message, help);
    }
    Peering {
        allow_virtual_network_access: peering.allow_virtual_network_access,
        allow_forwarded_traffic: peering.allow_forwarded_traffic,
        state: if both {
            PeeringState::Connected
        } else {
            PeeringState::Initiated
        },
    }
}

/// No address may be in two of a network and its peers: where would it be routed?
fn report_overlaps(
    own: &str,
    vnet: &document::Vnet,
    vnets: &BTreeMap<String, Vnet>,
    sink: &mut Sink,
) {
    let mut ranges: Vec<(IpNet, Option<&document::Peering>)> = vnet
        .address_space
        .iter()
        .map(|range| (range.value, None))
        .collect();
    for peering in vnet
        .peerings
        .iter()
        .filter(|peering| peering.vnet.value != own)
    {
        if let Some(remote) = vnets.get(&peering.vnet.value) {
            ranges.extend(
                remote
                    .address_space
                    .iter()
                    .map(|range| (*range, Some(peering))),
            );
        }
    }
    ranges.sort_by_key(|(range, _)| key(range));
    let mut widest: Option<(IpNet, Option<&document::Peering>)> = None;
    for (range, of) in ranges {
        let Some((wide, wide_of)) = widest.filter(|(wide, _)| wide.contains(&range)) else {
            widest = Some((range, of));
            continue;
        };
        let name = |of: Option<&document::Peering>| of.map_or(own, |of| &of.vnet.value).to_owned();
        // Within one network it is reported where the network is.
        if name(of) == name(wide_of) {
            continue;
        }
        if let Some(peering) = of.or(wide_of) {
            let message = format!(
                "{range} of `{}` overlaps {wide} of `{}`; peers of one network must not overlap",
                name(of),
                name(wide_of)
            );
            sink.error(&peering.vnet.place, Code::AddressRange, message);
        }
    }
}
