//! Customer addresses on other hosts. Their addresses were taken before the guests got theirs.

use std::collections::HashSet;

use super::names::Names;
use crate::diagnostics::{Code, Sink};
use crate::document::Document;
use crate::topology::{Mapping, Topology};

pub(super) fn resolve(document: &Document, topology: &Topology, sink: &mut Sink) -> Vec<Mapping> {
    let names = Names::of(document);
    if let (None, Some(first)) = (&document.uplink, document.mappings.first()) {
        let message = "mappings without an `uplink`: there is no way to other hosts";
        let help = "add `uplink` with `interface` and `providerAddress`".to_owned();
        sink.error_help(&first.provider.place, Code::MissingKey, message, help);
    }
    let counted: HashSet<&str> = document
        .vnets
        .iter()
        .filter(|(_, vnet)| vnet.vni.is_none())
        .map(|(name, _)| name.value.as_str())
        .collect();
    let mut unstable = HashSet::new();
    let mut mappings = Vec::with_capacity(document.mappings.len());
    for mapping in &document.mappings {
        let known = Names::known(
            &mapping.vnet,
            &names.vnets,
            "virtual network",
            "vnets",
            sink,
        );
        let Some(vnet) = known else { continue };
        if let Some(uplink) = &topology.uplink {
            check_provider(mapping, uplink.provider_address, sink);
        }
        if counted.contains(vnet.as_str()) && unstable.insert(vnet.clone()) {
            let message = format!("`{vnet}` has addresses on other hosts and no `vni` of its own");
            let help =
                "the VNI must be the same on all hosts; one that is given by counting is not";
            sink.warning(&mapping.vnet.place, Code::UnstableVni, message, help);
        }
        mappings.push(Mapping {
            vnet,
            address: mapping.address.value,
            provider: mapping.provider.value,
            mac: mapping.mac.value,
            use_destination_vni: mapping.use_destination_vni,
        });
    }
    mappings.sort_by(|a, b| (&a.vnet, a.address).cmp(&(&b.vnet, b.address)));
    mappings
}

fn check_provider(mapping: &crate::document::Mapping, own: std::net::IpAddr, sink: &mut Sink) {
    let provider = mapping.provider.value;
    let message = if provider == own {
        format!("{provider} is this host; its addresses are those of its guests")
    } else if provider.is_ipv4() != own.is_ipv4() {
        format!("{provider} cannot be reached from {own}: they are of different families")
    } else if provider.is_multicast() || provider.is_unspecified() {
        format!("{provider} is no address a host can have")
    } else {
        return;
    };
    sink.error(&mapping.provider.place, Code::Address, message);
}
