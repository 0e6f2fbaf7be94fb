//! NICs that are no longer wanted go, all of them at once: see [`netdev::expedite`] for what takes
//! its time in that.

use std::collections::BTreeSet;
use std::sync::Arc;

use flow::PortId;
use model::{GuestKind, NicName};
use netdev::expedite::Expedited;

use crate::agent::{Agent, Desired, State};
use crate::error::RequestError;
use crate::guest::HostNetwork;
use crate::uplink::Found;

/// Fewer links than this are changed in no time that anybody would notice, so the whole host need
/// not be asked for its help.
const MANY_LINKS: usize = 8;

/// NICs of which the data plane lets go in one go, before frames have their turn.
const DETACHED_AT_ONCE: usize = 4;

impl HostNetwork {
    /// Helps the kernel with the changes of so many links, until it is dropped.
    pub(crate) fn expedite(&self, links: usize) -> Option<Expedited> {
        if links < MANY_LINKS {
            return None;
        }
        let note = self.paths().expedited_note();
        // Where there is no folder for the note, it is done without.
        let _ = note.parent().map(std::fs::create_dir_all);
        Expedited::begin(&note)
    }

    /// Removes the devices of NICs. Returns the ports that had one.
    pub(crate) async fn remove_nics(&self, ports: &[PortId]) -> anyhow::Result<Vec<PortId>> {
        let devices = self.devices().await?;
        let there: Vec<(PortId, u32)> = ports
            .iter()
            .filter_map(|port| Some((*port, *devices.get(&self.paths().port_device(*port))?)))
            .collect();
        let links: Vec<u32> = there.iter().map(|(_, link)| *link).collect();
        self.netlink().delete_links(&links).await?;
        Ok(there.into_iter().map(|(port, _)| port).collect())
    }
}

impl Agent {
    /// Removes everything this instance made.
    pub(crate) async fn remove_everything(&self) -> Result<(), RequestError> {
        let mut state = self.state.lock().await;
        let all: Vec<_> = state
            .desired
            .ports
            .iter()
            .map(|(nic, port)| (nic.clone(), *port))
            .collect();
        state.desired = Desired {
            generations: state.desired.generations.clone(),
            namespaces: Arc::clone(&state.desired.namespaces),
            underlay: state.desired.underlay.clone(),
            ..Desired::default()
        };
        self.realize_uplink(&mut state, Found::Unwanted).await?;
        self.remove_nics(&mut state, &all).await;
        self.keep(&mut state).await?;
        Ok(())
    }

    /// Removes NICs, and namespaces in which none is left. What is gone already is no problem.
    pub(crate) async fn remove_nics(&self, state: &mut State, gone: &[(NicName, PortId)]) {
        let expedited = self.network.expedite(gone.len());
        for gone in gone.chunks(DETACHED_AT_ONCE) {
            self.detach(gone).await;
        }
        let ports: Vec<PortId> = gone.iter().map(|(_, port)| *port).collect();
        if !ports.is_empty()
            && let Err(error) = self.network.remove_nics(&ports).await
        {
            let names: Vec<String> = gone.iter().map(|(name, _)| name.to_string()).collect();
            let nics = names.join(", ");
            tracing::warn!(nics, %error, "cannot remove the devices of NICs");
        }
        drop(expedited);
        for (name, _) in gone {
            state.observed.remove(name);
            state.settled.forget(name);
        }
        self.remove_namespaces(state);
    }

    /// Makes the data plane let go of NICs.
    async fn detach(&self, gone: &[(NicName, PortId)]) {
        let ports: Vec<PortId> = gone.iter().map(|(_, port)| *port).collect();
        let detached = self.plane.call(move |plane| {
            let detach = |port: PortId| {
                let detached = plane.engine.detach(port);
                plane.remove(port);
                detached
            };
            ports.into_iter().map(detach).collect::<Vec<_>>()
        });
        let outcomes = detached.await.unwrap_or_default();
        for ((name, _), outcome) in gone.iter().zip(outcomes) {
            if let Err(error) = outcome {
                tracing::warn!(nic = %name, %error, "engine did not let go of a NIC");
            }
        }
    }

    /// Removes the namespaces that we made and that no guest has.
    fn remove_namespaces(&self, state: &mut State) {
        let guests = state.desired.topology.guests.iter();
        let wanted: BTreeSet<String> = guests
            .filter(|(_, guest)| guest.kind == GuestKind::Netns)
            .map(|(name, _)| self.paths.namespace_of(name))
            .collect();
        let mut left = BTreeSet::new();
        for namespace in state.desired.namespaces.difference(&wanted) {
            if let Err(error) = self.network.remove_namespace(namespace) {
                tracing::warn!(namespace, %error, "cannot remove a namespace");
                left.insert(namespace.clone());
            }
        }
        let stays = |name: &String| wanted.contains(name) || left.contains(name);
        if !state.desired.namespaces.iter().all(stays) {
            Arc::make_mut(&mut state.desired.namespaces).retain(stays);
        }
    }
}
