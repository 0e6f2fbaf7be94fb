//! A policy is put in force.

use std::sync::Arc;

use anyhow::Context;
use flow::{PortId, Timeouts};
use model::Expansions;
use policy::Snapshot;
use policy::input::PolicyInput;

use crate::agent::{Agent, Desired, State};
use crate::error::RequestError;
use crate::limits;
use crate::segments::Segments;

/// What the data plane is told beside the policy: it hears of it again when it is something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    segments: Arc<Segments>,
    timeouts: Timeouts,
    limits: vswitch::Limits,
}

impl Agent {
    /// Makes this the desired state: compiled, then in the store, then in force on all NICs at once.
    /// What cannot be compiled or stored changes nothing.
    pub(crate) async fn put_in_force(
        &self,
        state: &mut State,
        wanted: Desired,
    ) -> Result<(), RequestError> {
        let input = compiled(&mut state.expansions, &wanted);
        let snapshot = state
            .compiler
            .compile(&input)
            .context("cannot compile the policy")?;
        let told = Told::of(&wanted, &snapshot);
        self.store.keep(&mut state.kept, &wanted).await?;
        state.desired = wanted;
        self.publish(state, Arc::new(snapshot), told).await
    }

    async fn publish(
        &self,
        state: &mut State,
        snapshot: Arc<Snapshot>,
        told: Told,
    ) -> Result<(), RequestError> {
        let changed = snapshot.changed_slots(&state.snapshot);
        let versions: Vec<(u32, u32)> = changed
            .into_iter()
            .map(|(slot, version)| (slot.0, version))
            .collect();
        let generations = generations(&snapshot);
        // Until it is known that all of it was heard, it is not.
        let before = state.told.take();
        let new_segments = before.as_ref().map(|before| &before.segments) != Some(&told.segments);
        let news = told.clone();
        let new = before.as_ref() != Some(&told);
        let theirs = Arc::clone(&snapshot);
        self.plane
            .call(move |plane| -> Result<(), bpf::MapError> {
                plane.engine.set_mapping_versions(&versions)?;
                plane.engine.set_generations(&generations)?;
                if new_segments {
                    news.segments.tell(&mut plane.engine)?;
                }
                if new {
                    let limits = news.limits;
                    let (first_packets, resimulations) = (
                        limits.first_packets_per_second,
                        limits.resimulations_per_second,
                    );
                    plane.engine.set_rates(first_packets, resimulations)?;
                    plane.switch.set_timeouts(news.timeouts);
                    plane.switch.set_port_limits(
                        limits.flows_per_port_max,
                        first_packets,
                        resimulations,
                    );
                }
                plane.switch.publish(theirs);
                Ok(())
            })
            .await?
            .context("cannot tell the engine of the new generation")?;
        state.told = Some(told);
        // The last to let go of the one before is not the data plane: to free it takes time.
        state.snapshot = snapshot;
        Ok(())
    }
}

impl Told {
    fn of(wanted: &Desired, snapshot: &Snapshot) -> Told {
        let host = &wanted.topology.host;
        Told {
            segments: Arc::new(Segments::of(snapshot)),
            timeouts: host.timeouts.over(Timeouts::default()),
            limits: limits::of(host),
        }
    }
}

/// The policy that a desired state means, on this host as it is.
pub(crate) fn compiled(expansions: &mut Expansions, desired: &Desired) -> PolicyInput {
    let Desired {
        topology,
        ports,
        generations,
        ..
    } = desired;
    expansions.compile(topology, ports, generations, desired.underlay_mtu())
}

/// What engines compare stamps with, per port.
pub(crate) fn generations(snapshot: &Snapshot) -> Vec<(PortId, u32, u32)> {
    let policy = snapshot.generation();
    snapshot
        .nics()
        .map(|nic| (nic.port, policy, nic.path_generation))
        .collect()
}
