use anyhow::{Context as _, Result};
use host::api::NicDetail;
use model::effective::{EffectiveNetworkSecurityGroup, EffectiveRoutes, EffectiveRules};
use serde::Serialize;

use crate::commands::vf;
use crate::print::{Cell, Column, Console, Fields, Table, Tone};

/// For people.
pub(super) fn show(console: &Console, nic: &NicDetail) -> Result<()> {
    let summary = &nic.summary;
    let none_or = |texts: &[String]| {
        if texts.is_empty() {
            "none".to_owned()
        } else {
            texts.join(", ")
        }
    };
    let mut fields = Fields::default();
    fields
        .add("NIC", &summary.name)
        .add("kind", &summary.kind)
        .add("subnet", &summary.subnet)
        .add("addresses", super::addresses(summary))
        .add("MAC", &summary.mac)
        .add("device", summary.device.as_deref().unwrap_or("none"))
        .add("port", nic.port.to_string())
        .add("MTU", nic.mtu.to_string())
        .add(
            "IP forwarding",
            if nic.ip_forwarding { "yes" } else { "no" },
        )
        .add("application groups", none_or(&nic.asgs));
    vf::add_state(&mut fields, &summary.vf);
    fields
        .add("policy generation", nic.policy_generation.to_string())
        .add("path generation", nic.path_generation.to_string());
    fields.print(console)?;

    let rules: EffectiveRules = serde_json::from_value(nic.effective_nsg.clone())
        .context("cannot read the effective rules")?;
    if rules.value.is_empty() {
        console.heading("Effective rules: no group applies")?;
    }
    for group in &rules.value {
        show_group(console, group)?;
    }
    let routes: EffectiveRoutes = serde_json::from_value(nic.effective_routes.clone())
        .context("cannot read the effective routes")?;
    show_routes(console, &routes)
}

fn show_group(console: &Console, group: &EffectiveNetworkSecurityGroup) -> Result<()> {
    let association = &group.association;
    let by = association
        .subnet
        .as_ref()
        .or(association.network_interface.as_ref());
    let by = by.map_or("nothing", |reference| reference.id.as_str());
    let name = &group.network_security_group.id;
    console.heading(&format!("Effective rules of {name}, by {by}"))?;
    let mut table = Table::new(&[
        Column::Text("DIRECTION"),
        Column::Number("PRIORITY"),
        Column::Text("RULE"),
        Column::Text("ACCESS"),
        Column::Text("PROTOCOL"),
        Column::Text("SOURCE"),
        Column::Text("PORTS"),
        Column::Text("DESTINATION"),
        Column::Text("PORTS"),
    ]);
    for rule in &group.effective_security_rules {
        let access = rule.access.to_string();
        let tone = if access == "Deny" {
            Tone::Bad
        } else {
            Tone::Good
        };
        // An application group has no prefix as written: show what it stands for.
        let side = |written: &[String], expanded: &[String]| {
            let shown = if written.is_empty() {
                expanded
            } else {
                written
            };
            Cell::from(if shown.is_empty() {
                "none".to_owned()
            } else {
                shown.join(", ")
            })
        };
        table.row([
            rule.direction.to_string().into(),
            rule.priority.to_string().into(),
            rule.name.rsplit('/').next().unwrap_or(&rule.name).into(),
            Cell::toned(tone, access),
            rule.protocol.as_str().into(),
            side(
                &rule.source_address_prefixes,
                &rule.expanded_source_address_prefix,
            ),
            rule.source_port_ranges.join(", ").into(),
            side(
                &rule.destination_address_prefixes,
                &rule.expanded_destination_address_prefix,
            ),
            rule.destination_port_ranges.join(", ").into(),
        ]);
    }
    table.print(console)
}

fn show_routes(console: &Console, routes: &EffectiveRoutes) -> Result<()> {
    console.heading("Effective routes")?;
    let mut table = Table::new(&[
        Column::Text("SOURCE"),
        Column::Text("STATE"),
        Column::Text("PREFIX"),
        Column::Text("NEXT HOP"),
        Column::Text("ADDRESS"),
        Column::Text("NAME"),
    ]);
    for route in &routes.value {
        let state = spelt(&route.state);
        let tone = if state == "Active" {
            Tone::Good
        } else {
            Tone::Faint
        };
        let hops: Vec<String> = route
            .next_hop_ip_address
            .iter()
            .map(ToString::to_string)
            .collect();
        let hops = (!hops.is_empty()).then(|| hops.join(", "));
        for prefix in &route.address_prefix {
            table.row([
                spelt(&route.source).into(),
                Cell::toned(tone, &state),
                prefix.to_string().into(),
                spelt(&route.next_hop_type).into(),
                Cell::maybe(hops.as_deref()),
                Cell::maybe(route.name.as_deref()),
            ]);
        }
    }
    if table.is_empty() {
        console.line("none")
    } else {
        table.print(console)
    }
}

/// A word of the API as it is in JSON.
fn spelt(word: &impl Serialize) -> String {
    match serde_json::to_value(word) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    }
}
