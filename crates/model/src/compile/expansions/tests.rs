use super::*;
use crate::advance;
use crate::tests::{examples, good};

fn ports(topology: &Topology) -> BTreeMap<NicName, PortId> {
    let names = topology.nics().map(|(name, ..)| name);
    names.zip((1..).map(PortId)).collect()
}

/// The policy of a topology that comes after none.
fn fresh(topology: &Topology) -> PolicyInput {
    let mut generations = Generations::default();
    advance(&mut generations, None, topology, false);
    crate::compile(topology, &ports(topology), &generations, Some(1_550))
}

/// Of each example, documents in which things that rules and routes depend on are others.
fn variants() -> Vec<Vec<Arc<Topology>>> {
    let mut all = Vec::new();
    for name in examples() {
        let source = crate::tests::example(&name);
        let edits = [
            ("priority: 1", "priority: 2"),
            ("Allow", "Deny"),
            ("10.0.", "10.7."),
            ("peerings", "subnets"),
            ("nextHopType: VirtualAppliance", "nextHopType: None"),
            ("asgs: [web-servers]", "asgs: []"),
            ("nsg: web", "nsg: db"),
        ];
        let edited = edits.map(|(from, to)| source.replacen(from, to, 2));
        let good = edited
            .iter()
            .chain([&source])
            .filter_map(|source| crate::parse(source, &name).ok());
        all.push(
            good.map(|checked| Arc::new(checked.topology))
                .collect::<Vec<_>>(),
        );
    }
    let count: usize = all.iter().map(Vec::len).sum();
    assert!(count > 20, "only {count} are good");
    all
}

#[test]
fn what_was_expanded_before_makes_no_other_policy() {
    for variants in variants() {
        for after in &variants {
            let mut generations = Generations::default();
            advance(&mut generations, None, after, false);
            let expected = format!("{:?}", fresh(after));
            for before in &variants {
                let mut expansions = Expansions::default();
                expansions.compile(before, &ports(before), &generations, Some(1_550));
                let found = expansions.compile(after, &ports(after), &generations, Some(1_550));
                assert_eq!(format!("{found:?}"), expected);
            }
        }
    }
}

#[test]
fn a_change_of_one_group_leaves_all_else_where_it_is() {
    let document = |port: u16| {
        let source = format!(
            "
vnets:
  v:
    addressSpace: 10.0.0.0/16
    subnets: {{ a: {{ prefix: 10.0.1.0/24, nsg: a }}, b: {{ prefix: 10.0.2.0/24, nsg: b }} }}
nsgs:
  a: {{ rules: [{{ name: r, priority: 100, direction: Inbound, access: Allow, protocol: Tcp,
                ports: {port} }}] }}
  b: {{ rules: [{{ name: r, priority: 100, direction: Inbound, access: Allow, protocol: Udp }}] }}
securityAdminRules:
  - {{ name: r, priority: 1, direction: Inbound, access: Deny, protocol: Esp }}
guests: {{ one: {{ subnet: v/a }}, two: {{ subnet: v/a }}, three: {{ subnet: v/b }} }}
"
        );
        Arc::new(good(&source))
    };
    let topologies = [document(80), document(81)];
    let ports = ports(&topologies[0]);
    let mut expansions = Expansions::default();
    let generations = Generations::default();
    let [before, after] =
        topologies.map(|topology| expansions.compile(&topology, &ports, &generations, None));
    let parts = |policy: &PolicyInput, name: &str| -> Vec<usize> {
        let mut nics = policy.nics.iter();
        let nic = nics.find(|nic| nic.name == name).expect("the NIC");
        let sets = nic.outbound.iter().chain(&nic.inbound);
        let sets = sets.map(|set| Arc::as_ptr(set).addr());
        sets.chain([Arc::as_ptr(&nic.routes).addr()]).collect()
    };
    assert_eq!(parts(&before, "three/nic0"), parts(&after, "three/nic0"));
    let (old, new) = (parts(&before, "one/nic0"), parts(&after, "one/nic0"));
    // Out: the group. In: admin rules, the group. Then the routes.
    let moved: Vec<bool> = old.iter().zip(&new).map(|(old, new)| old != new).collect();
    assert_eq!(moved, [true, false, true, false]);
    assert_eq!(new, parts(&after, "two/nic0"), "one expansion for both");
}
