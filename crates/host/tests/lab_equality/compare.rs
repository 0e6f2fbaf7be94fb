//! What must be the same of two switches, one of them with the kernel before it.

use std::collections::HashMap;

use flow::{Counters, EngineCounters, FlowEngine, FlowKey, Half, Offload, PortId, TcpState, Tick};
use vswitch::Switch;

use crate::accelerated::Accelerated;

/// A flow, whoever executes it.
#[derive(Debug, PartialEq, Eq)]
struct Flow {
    half: Half,
    counters: Counters,
    state: Option<TcpState>,
    created: Tick,
}

/// Flows and counters of all ports; and that the kernel holds what the switch believes it holds.
pub(crate) fn compare(software: &Switch, accelerated: &mut Accelerated<'_>) {
    let nics = software.policy().nics().map(|nic| nic.port);
    for port in nics.chain([PortId::UPLINK]) {
        let expected = software.port(port).expect("a port of the world");
        let found = accelerated.counters(port);
        assert_eq!(found, *expected.counters, "{port}");
    }
    compare_flows(software, accelerated);
    compare_entries(accelerated);
}

fn compare_flows(software: &Switch, accelerated: &mut Accelerated<'_>) {
    let keys: Vec<FlowKey> = software.flows().iter().map(|entry| *entry.key()).collect();
    let mut readings: Vec<EngineCounters> = Vec::new();
    accelerated.kernel.read(&keys, &mut readings);
    let readings: HashMap<_, _> = readings
        .into_iter()
        .map(|counted| (counted.key, counted.counters))
        .collect();
    for key in &keys {
        let expected = flow(software, key, &HashMap::new());
        let found = flow(&accelerated.switch, key, &readings);
        assert_eq!(found, expected, "{key}");
    }
    let count = |switch: &Switch| switch.flows().len();
    assert_eq!(
        count(&accelerated.switch),
        count(software),
        "flows that should not be"
    );
}

fn flow(switch: &Switch, key: &FlowKey, by_kernel: &HashMap<FlowKey, Counters>) -> Option<Flow> {
    let entry = |key: &FlowKey| {
        switch
            .flows()
            .lookup(key)
            .and_then(|id| switch.flows().get(id))
    };
    let counters = |key: &FlowKey| {
        let mut counters = entry(key)?.counters();
        by_kernel.get(key).inspect(|more| counters.merge(more));
        Some(counters)
    };
    let found = entry(key)?;
    let flags = |key: &FlowKey| counters(key).unwrap_or_default().tcp_flags;
    let peer = found
        .peer_key()
        .map(|peer| flags(&peer))
        .unwrap_or_default();
    let state = found.tcp_state().map(|_| match found.forward() {
        true => TcpState::of(flags(key), peer),
        false => TcpState::of(peer, flags(key)),
    });
    Some(Flow {
        half: found.half(),
        counters: counters(key)?,
        state,
        created: found.created(),
    })
}

/// The kernel executes the entries of the table, and no others.
fn compare_entries(accelerated: &mut Accelerated<'_>) {
    let mut held: HashMap<FlowKey, Half> = HashMap::new();
    accelerated.kernel.dump(&mut |half, _, active| {
        assert!(active, "never activated: {half:?}");
        held.insert(half.key, *half);
    });
    for entry in accelerated.switch.flows().iter() {
        let expected = match entry.offload() {
            Offload::Active => Some(entry.half()),
            Offload::Deferred | Offload::Installed | Offload::NotOffloaded(_) => None,
        };
        assert_eq!(held.remove(entry.key()), expected, "{entry:?}");
    }
    assert!(held.is_empty(), "entries that nobody owns: {held:?}");
}
