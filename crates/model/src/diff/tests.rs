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

/// What [`difference`] is to be, by the topologies' values alone.
fn by_value(old: &Topology, new: &Topology) -> Vec<Change> {
    let sections = |topology| match value_of(topology) {
        Value::Object(sections) => sections,
        other => panic!("{other}"),
    };
    let (mut old, mut new) = (sections(old), sections(new));
    let mut changes = Vec::new();
    let mut keys: Vec<String> = old.keys().chain(new.keys()).cloned().collect();
    keys.sort();
    keys.dedup();
    for section in keys {
        let named = |value: Option<Value>| match value {
            // By what the list's things are called.
            Some(Value::Array(items)) if section == "mappings" => {
                let name = |item: &Value| {
                    let text = |key: &str| item[key].as_str().expect("a text").to_owned();
                    format!("{}/{}", text("vnet"), text("address"))
                };
                Some(items.into_iter().map(|item| (name(&item), item)).collect())
            }
            value => value,
        };
        match (named(old.remove(&section)), named(new.remove(&section))) {
            (Some(old), Some(new)) => compare(&section, &old, &new, &mut changes),
            (before, after) => changes.push(Change {
                path: section,
                before,
                after,
            }),
        }
    }
    changes
}

#[test]
fn what_is_not_looked_into_does_not_differ() {
    let edits: [(&str, &str); 9] = [
        ("priority: 1", "priority: 2"),
        ("10.0.0.", "10.0.1."),
        ("app/web", "app/db"),
        ("asg", "asg"),
        ("web", "w3b"),
        ("name: ", "name: a-"),
        ("Inbound", "Outbound"),
        ("provider: 192.0.2.11", "provider: 192.0.2.12"),
        ("prefix: 10", "prefix: 11"),
    ];
    let names = crate::tests::examples();
    let topologies: Vec<Topology> = names.iter().map(|name| good(&example(name))).collect();
    let mut compared = 0;
    for (name, topology) in names.iter().zip(&topologies) {
        for other in &topologies {
            let changes = difference(topology, other).changes;
            assert_eq!(changes, by_value(topology, other), "{name}");
        }
        for (from, to) in edits {
            let edited = example(name).replacen(from, to, 3);
            let Ok(edited) = crate::parse(&edited, name) else {
                continue;
            };
            for (old, new) in [(topology, &edited.topology), (&edited.topology, topology)] {
                let changes = difference(old, new).changes;
                assert_eq!(changes, by_value(old, new), "{name}: {from} -> {to}");
                compared += usize::from(!changes.is_empty());
            }
        }
    }
    assert!(compared > 20, "only {compared} edits made a difference");
}

#[test]
fn a_thing_may_be_called_like_a_form() {
    let group = |port: u16| {
        good(&format!(
            "nsgs: {{ tag: {{ rules: [{{ name: a, priority: 100, direction: Inbound, \
             access: Allow, protocol: Tcp, ports: {port} }}] }} }}\n"
        ))
    };
    let changes = difference(&group(80), &group(81)).changes;
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].path, "nsgs.tag.rules.a.destinationPorts");
}
