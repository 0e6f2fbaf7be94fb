//! What the control plane may ask of the data plane.

use std::collections::HashMap;

use flow::{Counters, FlowEngine, FlowKey, Offload, PortId, PortMode, Tick};
use tokio::sync::mpsc;
use vswitch::{Explanation, PortCounters, Probe};

use super::{DataPlane, DroppedFrame};
use crate::api::{FlowRow, SchedulingView};
use crate::clock;

/// Counters and state of a port.
#[derive(Clone, Debug, Default)]
pub(crate) struct PortReport {
    pub(crate) flows: u32,
    pub(crate) switch: PortCounters,
    pub(crate) engine: bpf::PortStats,
    /// Drops by reason, both paths together, and what the engine dropped before the switch saw it.
    pub(crate) drops: flow::DropCounters,
}

/// Which flows of a port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlowsQuery {
    pub(crate) port: PortId,
    pub(crate) not_offloaded: bool,
    pub(crate) limit: usize,
}

impl DataPlane {
    /// A port's counters, or the uplink's; None when it was never there.
    pub(crate) fn report(&mut self, port: PortId) -> Option<PortReport> {
        // A map that cannot be read has counted nothing we could report.
        let engine = self.engine.port_stats(port).unwrap_or_default();
        let by_engine = self.coupling.drops(&mut self.engine, port);
        let view = self.switch.port(port)?;
        let mut drops = view.counters.drops.clone();
        drops.merge(&by_engine);
        if port == PortId::UPLINK {
            drops.merge(&self.uplink_drops());
        }
        drops.add(
            flow::DropReason::ExceptionRateLimited,
            engine.rate_limited_packets,
            engine.rate_limited_bytes,
        );
        Some(PortReport {
            flows: view.flows,
            switch: view.counters.clone(),
            engine,
            drops,
        })
    }

    /// Drops of frames that did not get here, of which only the number is known.
    pub(crate) fn lost(&self) -> flow::DropCounters {
        self.lost.drops().clone()
    }

    /// How the scheduler treats this thread.
    pub(crate) fn scheduling(&self) -> SchedulingView {
        self.urgency.view(clock::now())
    }

    /// Flows of a port, freshest counters included, and how many there are.
    pub(crate) fn flow_rows(&mut self, query: &FlowsQuery) -> (usize, Vec<FlowRow>) {
        let now = clock::now();
        let accelerated = self
            .switch
            .port(query.port)
            .is_some_and(|port| port.mode == PortMode::Accelerated);
        let wanted: Vec<FlowKey> = self
            .switch
            .flows()
            .iter()
            .filter(|entry| entry.key().owner() == query.port)
            .filter(|entry| {
                !query.not_offloaded || !accelerated || entry.offload() != Offload::Active
            })
            .map(|entry| *entry.key())
            .collect();
        let shown = &wanted[..wanted.len().min(query.limit)];
        // The state of a connection is in the flags of both directions.
        let flows = self.switch.flows();
        let peer = |key| flows.lookup(key).and_then(|id| flows.get(id))?.half().peer;
        let both: Vec<FlowKey> = shown
            .iter()
            .copied()
            .chain(shown.iter().filter_map(peer))
            .collect();
        let mut readings = Vec::with_capacity(both.len());
        self.engine.read(&both, &mut readings);
        let mut in_engine = HashMap::with_capacity(readings.len());
        for reading in &readings {
            self.switch.observe(reading);
            in_engine.insert(reading.key, reading.counters);
        }
        let row = |key| self.flow_row(key, in_engine.get(key), accelerated, now);
        let rows = shown.iter().filter_map(row).collect();
        (wanted.len(), rows)
    }

    /// Walks the slow path for a packet, with an observer.
    pub(crate) fn explain(&self, probe: &Probe) -> Option<Explanation> {
        self.switch.explain(probe, clock::now())
    }

    /// Starts watching drops of one port, or of all.
    pub(crate) fn watch_drops(
        &mut self,
        port: Option<PortId>,
    ) -> Option<mpsc::Receiver<DroppedFrame>> {
        let guests = (1..=PortId::MAX.0)
            .map(PortId)
            .filter(|port| self.links[usize::from(port.0)] != 0);
        let uplink = self.engine.uplink_device().map(|_| PortId::UPLINK);
        let connected: Vec<PortId> = guests.chain(uplink).collect();
        self.watchers
            .watch(&mut self.engine, port, connected.into_iter())
    }

    /// A watcher left.
    pub(crate) fn release_watchers(&mut self) {
        self.watchers.release(&mut self.engine);
    }

    fn flow_row(
        &self,
        key: &FlowKey,
        in_engine: Option<&Counters>,
        accelerated: bool,
        now: Tick,
    ) -> Option<FlowRow> {
        let id = self.switch.flows().lookup(key)?;
        let entry = self.switch.flows().get(id)?;
        let transposition = entry.transposition();
        // Each frame was counted in one of the two places.
        let mut counters = entry.counters();
        if let Some(engine) = in_engine {
            counters.merge(engine);
        }
        let to = match transposition.verdict {
            flow::Verdict::Deliver(port) => {
                self.switch.policy().nic(port).map(|nic| nic.name.clone())
            }
            flow::Verdict::Uplink => transposition
                .encap
                .map(|encap| format!("via {} vni {}", encap.outer_dst, encap.vni)),
            flow::Verdict::Drop(_) => None,
        };
        let offload = entry.offload();
        let reason = match offload {
            _ if !accelerated => Some("the NIC is on the synthetic path".to_owned()),
            Offload::NotOffloaded(Some(refusal)) => Some(refusal.to_string()),
            Offload::NotOffloaded(None) => Some("not offered to the engine yet".to_owned()),
            Offload::Deferred => Some("installed with its next packet".to_owned()),
            Offload::Installed => Some("installed, not yet activated".to_owned()),
            Offload::Active => None,
        };
        let state = (key.protocol() == 6)
            .then(|| self.switch.flows().tcp_state(id))
            .flatten();
        Some(FlowRow {
            flow: key.to_string(),
            from: if key.port().is_from_uplink() {
                "uplink"
            } else {
                "guest"
            }
            .to_owned(),
            direction: if entry.forward() {
                "forward"
            } else {
                "reverse"
            }
            .to_owned(),
            verdict: transposition
                .drop_reason()
                .map_or("allow", |reason| reason.name())
                .to_owned(),
            to,
            state: state.map(|state| state.to_string()),
            packets: counters.packets,
            bytes: counters.bytes,
            idle_ms: u64::try_from(now.since(counters.last_seen).as_millis()).unwrap_or(u64::MAX),
            offloaded: reason.is_none(),
            reason,
        })
    }
}
