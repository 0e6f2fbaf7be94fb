use std::sync::Arc;

use model::Topology;

use super::*;

const DOCUMENT: &str = "
name: kept
vnets:
  app: { addressSpace: 10.0.0.0/16, subnets: { web: { prefix: 10.0.1.0/24, nsg: web } } }
  db: { addressSpace: 10.1.0.0/16, vni: 7, subnets: { all: { prefix: 10.1.0.0/24 } } }
nsgs:
  web:
    rules:
      - { name: b, priority: 100, direction: Inbound, access: Allow, protocol: Tcp, ports: 80 }
      - { name: a, priority: 110, direction: Inbound, access: Deny, protocol: Tcp, ports: 81 }
      - { name: c, priority: 120, direction: Outbound, access: Deny, protocol: Udp }
  other: { rules: [] }
serviceTags: { Office: [192.0.2.0/24] }
asgs: [group]
routeTables: { t: { routes: [{ name: r, prefix: 10.9.0.0/16, nextHopType: None }] } }
uplink: { interface: eth0, providerAddress: 192.0.2.1 }
mappings:
  - { vnet: db, address: 10.1.0.9, provider: 192.0.2.2, mac: '02:00:00:00:00:09' }
  - { vnet: db, address: 10.1.0.10, provider: 192.0.2.2, mac: '02:00:00:00:00:10' }
guests:
  web-1: { subnet: app/web, asgs: [group] }
  web-2: { subnet: app/web }
host: { exceptionsPerSecond: 1000 }
";

fn topology(edit: impl Fn(String) -> String) -> Arc<Topology> {
    let source = edit(DOCUMENT.to_owned());
    let checked = model::parse(&source, "kept").unwrap_or_else(|found| panic!("{found}"));
    Arc::new(checked.topology)
}

fn desired() -> Desired {
    let topology = topology(|source| source);
    let mut desired = Desired {
        attached: [("box".to_owned(), "/run/netns/box".into())].into(),
        namespaces: Arc::new(["web-1", "web-2"].map(str::to_owned).into()),
        ..Desired::default()
    };
    let names = topology.nics().map(|(name, ..)| name);
    desired.ports = Arc::new(names.zip((1..).map(flow::PortId)).collect());
    model::advance(&mut desired.generations, None, &topology, false);
    let revocation = crate::agent::Revocation {
        reason: "test".to_owned(),
        since: jiff::Timestamp::UNIX_EPOCH,
    };
    let nic = desired.ports.keys().next().expect("a NIC").clone();
    desired.revoked.insert(nic, revocation);
    desired.topology = topology;
    desired
}

fn keys(before: &Desired, after: &Desired) -> Vec<String> {
    let parts = parts::changed(before, after).expect("it has a document");
    parts.into_iter().map(|(key, _)| key).collect()
}

#[tokio::test]
async fn what_was_kept_is_there_after_the_store_was_closed() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("deep/state.redb");
    let store = Store::open(&path).expect("a new store");
    let (nothing, mut kept) = store.load().expect("readable");
    assert_eq!(nothing, Desired::default());
    let mut wanted = desired();
    assert!(store.keep(&mut kept, &wanted).await.expect("writable"));
    assert!(
        Store::open(&path).is_err(),
        "a second agent must not open it"
    );
    drop(store);

    let store = Store::open(&path).expect("the same store");
    let (found, mut kept) = store.load().expect("readable");
    assert_eq!(found, wanted);
    let written = store.keep(&mut kept, &found).await.expect("writable");
    assert!(!written, "nothing is new");
    // All kinds of things go, too.
    wanted = Desired::default();
    assert!(store.keep(&mut kept, &wanted).await.expect("writable"));
    assert_eq!(store.load().expect("readable").0, wanted);
}

#[test]
fn only_what_differs_is_written() {
    let before = desired();
    let mut after = before.clone();
    assert!(keys(&before, &after).is_empty());
    after.topology = topology(|source| source.replace("priority: 100", "priority: 101"));
    let old = Some(&*before.topology);
    model::advance(&mut after.generations, old, &after.topology, false);
    assert_eq!(keys(&before, &after), ["rule/web/b", "generation"]);
    let after = Desired {
        topology: topology(|source| {
            let source = source.replace("  web-2: { subnet: app/web }\n", "");
            let source = source.replace("10.1.0.9,", "10.1.0.8,");
            source.replace("  other: { rules: [] }", "  third: { rules: [] }")
        }),
        ..before.clone()
    };
    let expected = [
        "nsg/other",
        "nsg/third",
        "guest/web-2",
        "mapping/db/10.1.0.8",
        "mapping/db/10.1.0.9",
    ];
    assert_eq!(keys(&before, &after), expected);
}

#[tokio::test]
async fn a_change_that_was_not_finished_did_not_happen() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("state.redb");
    let store = Store::open(&path).expect("a new store");
    let (_, mut kept) = store.load().expect("readable");
    let before = desired();
    store.keep(&mut kept, &before).await.expect("writable");
    // As a kill leaves the file in the middle of a change: written to, and not committed.
    let after = Desired {
        topology: topology(|source| source.replace("web-2", "web-3")),
        ..before.clone()
    };
    let changed = parts::changed(&before, &after).expect("it has a document");
    assert!(changed.len() > 1, "{changed:?}");
    let transaction = store.database.begin_write().expect("writable");
    put(&transaction, &changed).expect("writable");
    let killed = directory.path().join("killed.redb");
    std::fs::copy(&path, &killed).expect("a copy");
    transaction.abort().expect("it ends");
    let (found, _) = Store::open(&killed)
        .expect("it is whole")
        .load()
        .expect("readable");
    assert_eq!(found, before);
}

#[tokio::test]
async fn what_an_older_agent_kept_is_read_and_then_kept_in_parts() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(&directory.path().join("state.redb")).expect("a new store");
    let mut wanted = desired();
    let whole = serde_json::json!({
        "topology": &*wanted.topology,
        "ports": { "web-1/nic0": 1, "web-2/nic0": 2 },
        "generations": {
            "policy": 1,
            "nics": {
                "web-1/nic0": { "path": 1, "reevaluate": 0 },
                "web-2/nic0": { "path": 1, "reevaluate": 0 },
            },
        },
        "revoked": { "web-1/nic0": { "reason": "test", "since": "1970-01-01T00:00:00Z" } },
        "attached": { "box": "/run/netns/box" },
        "namespaces": ["web-1", "web-2"],
        "underlay": null,
    });
    let transaction = store.database.begin_write().expect("writable");
    let whole = whole.to_string().into_bytes();
    let mut table = transaction.open_table(DOCUMENTS).expect("a table");
    table
        .insert(parts::WHOLE, whole.as_slice())
        .expect("writable");
    drop(table);
    transaction.commit().expect("writable");

    let (found, mut kept) = store.load().expect("readable");
    assert_eq!(found, wanted);
    wanted.generations.policy += 1;
    assert!(store.keep(&mut kept, &wanted).await.expect("writable"));
    let transaction = store.database.begin_read().expect("readable");
    let table = transaction.open_table(DOCUMENTS).expect("a table");
    assert!(table.get(parts::WHOLE).expect("readable").is_none());
    assert_eq!(store.load().expect("readable").0, wanted);
}

#[test]
fn what_cannot_be_read_is_said() {
    for (key, document) in [
        ("rule/web/a", "{"),
        ("rule/web", "{}"),
        ("vnet/v", "1"),
        ("port/web-1", "1"),
        ("colour", "1"),
    ] {
        let error = Parts::default().read(key, document.as_bytes());
        let error = format!("{:#}", error.expect_err("it cannot be read"));
        assert!(error.contains(key), "{error}");
    }
}
