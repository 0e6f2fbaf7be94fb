use super::*;
use crate::tests::{example, good};

#[test]
fn a_plan_names_what_changes_and_nothing_else() {
    let before = example("quickstart.yaml");
    let after = before
        .replace("priority: 130", "priority: 140")
        .replace("destinationPorts: 80\n", "destinationPorts: [80, 443]\n")
        .replace(
            "        source: { asg: web-servers }\n",
            "        source: 10.0.1.0/24\n",
        )
        .replace(
            "  client-1:",
            "  web-2: { subnet: app/web, asgs: [web-servers] }\n  client-1:",
        )
        .replace("nsg: web, ", "");
    let difference = difference(&good(&before), &good(&after));
    insta::assert_snapshot!(difference);
}

#[test]
fn a_list_of_named_things_compares_by_name() {
    let table = |routes: &str| good(&format!("routeTables: {{ t: {{ routes: [{routes}] }} }}\n"));
    let a = "{ name: a, prefix: 10.0.0.0/8, nextHopType: None }";
    let b = "{ name: b, prefix: 11.0.0.0/8, nextHopType: None }";
    let both = table(&format!("{a}, {b}"));
    assert!(difference(&both, &table(&format!("{b}, {a}"))).is_empty());
    let gone = difference(&both, &table(b));
    assert_eq!(gone.changes.len(), 1);
    assert_eq!(gone.changes[0].path, "routeTables.t.routes.a");
    assert!(gone.changes[0].after.is_none() && gone.changes[0].before.is_some());
}

#[test]
fn mappings_are_called_by_network_and_address() {
    let before = example("tap-vm-and-container.yaml");
    let after = before.replacen("provider: 192.0.2.11", "provider: 192.0.2.12", 1);
    let difference = difference(&good(&before), &good(&after));
    let paths: Vec<&str> = difference
        .changes
        .iter()
        .map(|change| change.path.as_str())
        .collect();
    assert_eq!(paths, ["mappings.main/10.0.0.20.provider"]);
}

#[test]
fn the_same_topology_has_no_plan() {
    let topology = good(&example("hub-spoke-nva.yaml"));
    let difference = difference(&topology, &topology.clone());
    assert!(difference.is_empty());
    assert_eq!(difference.to_string(), "No changes.\n");
}
