//! From desired to observed.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Context;
use bpf::PortAttachment;
use flow::{PortId, PortMode};
use ipnet::IpNet;
use model::{Difference, Guest, GuestKind, NicName, Topology};
use policy::Snapshot;
use policy::input::PolicyInput;
use wire::MacAddr;

use crate::agent::{Agent, DESIRED, Desired, State};
use crate::api::{ApplyRequest, ApplyResult, VfAction, VfRequest, VfState};
use crate::error::RequestError;
use crate::guest::{HostEnd, NicPlan, Place};
use crate::limits;
use crate::ports;
use crate::segments::Segments;
use crate::settled::DevicesUp;
use crate::uplink::Found;

impl Agent {
    /// Makes a document the desired state, and the desired state real.
    pub(crate) async fn apply(&self, request: &ApplyRequest) -> Result<ApplyResult, RequestError> {
        let checked = model::parse(&request.source, &request.file_name).map_err(|found| {
            let details = found.diagnostics;
            let errors = details
                .iter()
                .filter(|one| one.severity == model::Severity::Error);
            RequestError::Topology {
                count: errors.count(),
                details,
            }
        })?;
        let flows_max = limits::flows_max(&checked.topology.host);
        if flows_max != self.flows_max {
            return Err(RequestError::Conflict(format!(
                "host.flows is {flows_max} there and {} here, and cannot change while the agent \
                 runs; end it and start it with `clearway up TOPOLOGY`, which also ends the flows \
                 it holds",
                self.flows_max
            )));
        }
        let mut state = self.state.lock().await;
        let old = &state.desired.topology;
        let Difference { changes } = model::difference(old, &checked.topology);
        let mut result = ApplyResult {
            applied: false,
            changes,
            warnings: checked.warnings.diagnostics,
            problems: Vec::new(),
            generation: state.snapshot.generation(),
        };
        if request.dry_run {
            return Ok(result);
        }
        let found = self.find_uplink(&checked.topology).await;
        let gone = self.adopt_topology(&mut state, checked.topology, &found, request.reevaluate)?;
        self.publish(&mut state).await?;
        self.remove_nics(&mut state, &gone).await;
        result.problems = self.realize_all(&mut state, found).await?;
        result.applied = true;
        result.generation = state.snapshot.generation();
        Ok(result)
    }

    /// Makes everything real that the store holds: the first step of an agent's life.
    pub(crate) async fn resume(&self) -> Result<Vec<String>, RequestError> {
        let mut state = self.state.lock().await;
        let found = self.find_uplink(&state.desired.topology).await;
        state.desired.note_underlay(&found);
        self.publish(&mut state).await?;
        self.realize_all(&mut state, found).await
    }

    /// The namespace of a guest that someone else started.
    pub(crate) async fn attach(
        &self,
        guest: &str,
        path: std::path::PathBuf,
    ) -> Result<Vec<String>, RequestError> {
        let mut state = self.state.lock().await;
        let Some(found) = state.desired.topology.guests.get(guest) else {
            return Err(RequestError::GuestNotFound(guest.to_owned()));
        };
        if found.kind != GuestKind::Attached {
            return Err(RequestError::Conflict(format!(
                "guest `{guest}` is of kind {}; only guests of kind attached have a namespace of \
                 someone else's",
                found.kind
            )));
        }
        // A path that leads nowhere must not take the place of one that does.
        if let Err(error) = netdev::netns::Namespace::open_path(&path) {
            let error = anyhow::Error::from(error);
            return Err(RequestError::Conflict(format!(
                "guest `{guest}` stays as it is: {error:#}"
            )));
        }
        state.desired.attached.insert(guest.to_owned(), path);
        self.store.put(DESIRED, &state.desired)?;
        self.realize(&mut state).await
    }

    /// Takes the accelerated path of a NIC away, or gives it back.
    pub(crate) async fn set_vf(
        &self,
        name: &NicName,
        request: &VfRequest,
    ) -> Result<VfState, RequestError> {
        let mut state = self.state.lock().await;
        let port = state.port(name)?;
        match request.action {
            VfAction::Revoke => {
                let reason = request
                    .reason
                    .clone()
                    .unwrap_or_else(|| "by an operator".to_owned());
                let since = jiff::Timestamp::now();
                let revocation = crate::agent::Revocation { reason, since };
                state.desired.revoked.insert(name.clone(), revocation);
            }
            VfAction::Restore => {
                state.desired.revoked.remove(name);
            }
        }
        self.store.put(DESIRED, &state.desired)?;
        let mode = state.wanted_mode(name);
        if state
            .observed
            .get(name)
            .is_some_and(|observed| observed.mode.is_some())
        {
            self.plane
                .call(move |plane| plane.set_mode(port, mode))
                .await?
                .map_err(|refusal| anyhow::anyhow!("the engine refused: {refusal}"))?;
            let device = state
                .observed
                .get(name)
                .and_then(|observed| observed.device.clone());
            state.observe(name, Some(mode), device, None);
        }
        Ok(state.vf(name))
    }

    /// Removes everything this instance made.
    pub(crate) async fn remove_everything(&self) -> Result<(), RequestError> {
        let mut state = self.state.lock().await;
        let all: Vec<_> = state
            .desired
            .ports
            .iter()
            .map(|(nic, port)| (nic.clone(), *port))
            .collect();
        state.desired.topology = Topology::default();
        state.desired.ports.clear();
        state.desired.attached.clear();
        state.desired.revoked.clear();
        self.realize_uplink(&mut state, Found::Unwanted).await?;
        self.remove_nics(&mut state, &all).await;
        self.store.put(DESIRED, &state.desired)?;
        Ok(())
    }

    /// The new desired state, in the store. Returns the NICs that are no longer wanted.
    fn adopt_topology(
        &self,
        state: &mut State,
        topology: Topology,
        found: &Found,
        reevaluate: bool,
    ) -> Result<Vec<(NicName, PortId)>, RequestError> {
        let wanted: BTreeSet<NicName> = topology.nics().map(|(name, ..)| name).collect();
        let mut desired = state.desired.clone();
        let mut gone = ports::assign(&mut desired.ports, &wanted)
            .map_err(|error| RequestError::Conflict(error.to_string()))?;
        // A guest that changed its kind is another guest: its devices are made anew.
        for (name, guest, _) in topology.nics() {
            let before = desired.topology.guests.get(name.guest());
            if let Some(port) = desired.ports.get(&name)
                && before.is_some_and(|before| before.kind != guest.kind)
            {
                gone.push((name, *port));
            }
        }
        model::advance(
            &mut desired.generations,
            Some(&desired.topology),
            &topology,
            reevaluate,
        );
        desired.revoked.retain(|name, _| wanted.contains(name));
        desired
            .attached
            .retain(|guest, _| topology.guests.contains_key(guest));
        desired.topology = topology;
        desired.note_underlay(found);
        self.store.put(DESIRED, &desired)?;
        state.desired = desired;
        Ok(gone)
    }

    /// Compiles the policy and puts it in force, on all NICs at once.
    pub(crate) async fn publish(&self, state: &mut State) -> Result<(), RequestError> {
        let desired = &state.desired;
        let input = compiled(desired);
        let snapshot = state
            .compiler
            .compile(&input)
            .context("cannot compile the policy")?;
        let snapshot = Arc::new(snapshot);
        let changed = snapshot.changed_slots(&state.snapshot);
        let changed: Vec<(u32, u32)> = changed
            .into_iter()
            .map(|(slot, version)| (slot.0, version))
            .collect();
        let timeouts = desired
            .topology
            .host
            .timeouts
            .over(flow::Timeouts::default());
        let limits = limits::of(&desired.topology.host);
        let segments = Segments::of(&snapshot);
        let theirs = Arc::clone(&snapshot);
        self.plane
            .call(move |plane| -> Result<(), bpf::MapError> {
                plane.engine.set_mapping_versions(&changed)?;
                plane.engine.set_generations(&generations(&theirs))?;
                segments.tell(&mut plane.engine)?;
                let (first_packets, resimulations) = (
                    limits.first_packets_per_second,
                    limits.resimulations_per_second,
                );
                plane.engine.set_rates(first_packets, resimulations)?;
                plane.switch.set_timeouts(timeouts);
                plane.switch.set_port_limits(
                    limits.flows_per_port_max,
                    first_packets,
                    resimulations,
                );
                plane.switch.publish(theirs);
                Ok(())
            })
            .await?
            .context("cannot tell the engine of the new generation")?;
        state.snapshot = snapshot;
        Ok(())
    }

    /// Makes NICs and uplink real. Returns what could not be.
    async fn realize_all(
        &self,
        state: &mut State,
        found: Found,
    ) -> Result<Vec<String>, RequestError> {
        let mut problems = self.realize(state).await?;
        self.realize_uplink(state, found).await?;
        problems.extend(state.uplink.problem.clone());
        Ok(problems)
    }

    /// Makes all NICs real. A NIC that cannot be is noted, and does not keep others from being.
    pub(crate) async fn realize(&self, state: &mut State) -> Result<Vec<String>, RequestError> {
        let mut problems = Vec::new();
        let topology = state.desired.topology.clone();
        self.claim_namespaces(state)?;
        let devices = self.network.devices_up().await?;
        for (name, guest, nic) in topology.nics() {
            let index = guest
                .nics
                .iter()
                .position(|other| other.name == nic.name)
                .unwrap_or(0);
            let place = self.place(state, name.guest(), guest);
            let reason = match place {
                Ok(Some(place)) => {
                    let place = (&place, index);
                    match self.realize_nic(state, &name, guest, place, &devices).await {
                        Ok(()) => continue,
                        Err(error) => Err(error),
                    }
                }
                Ok(None) => Ok(format!(
                    "waits for its namespace: clearway attach {} --netns PATH",
                    name.guest()
                )),
                Err(error) => Err(error),
            };
            let reason = reason.unwrap_or_else(|error| {
                let problem = format!("{error:#}");
                tracing::warn!(nic = %name, problem, "NIC is not real");
                problems.push(problem.clone());
                problem
            });
            if let Some(port) = state.desired.ports.get(&name).copied() {
                self.plane.call(move |plane| plane.disconnect(port)).await?;
            }
            state.observe(&name, None, None, Some(reason));
            state.settled.forget(&name);
        }
        self.store.put(DESIRED, &state.desired)?;
        Ok(problems)
    }

    /// Notes all namespaces that are to be made before the first of them is: one too many to remove
    /// does no harm. Those that are there already are someone else's.
    fn claim_namespaces(&self, state: &mut State) -> anyhow::Result<()> {
        let guests = state.desired.topology.guests.iter();
        let ours = guests.filter(|(_, guest)| guest.kind == GuestKind::Netns);
        let free = ours
            .map(|(name, _)| self.paths.namespace_of(name))
            .filter(|name| !state.desired.namespaces.contains(name))
            .filter(|name| {
                netdev::NamespaceName::new(name)
                    .is_ok_and(|name| !netdev::netns::Namespace::exists(&name))
            })
            .collect::<Vec<_>>();
        if free.is_empty() {
            return Ok(());
        }
        state.desired.namespaces.extend(free);
        self.store.put(DESIRED, &state.desired)
    }

    async fn realize_nic(
        &self,
        state: &mut State,
        name: &NicName,
        guest: &Guest,
        (place, index): (&Place, usize),
        devices: &DevicesUp,
    ) -> anyhow::Result<()> {
        let plan = plan(state, name, guest, index)?;
        let mode = state.wanted_mode(name);
        let device = self.paths.port_device(plan.port);
        let observed = state.observed.get(name).and_then(|observed| observed.mode);
        let settled = &state.settled;
        if observed == Some(mode) && settled.holds(name, place, &plan, devices, &device) {
            return Ok(());
        }
        let end = self.network.ensure_nic(place, &plan).await?;
        self.connect(&plan, end, mode).await?;
        state.observe(name, Some(mode), Some(device), None);
        state.settled.note(name, place, plan, end);
        Ok(())
    }

    /// Hands a NIC's device to the data plane.
    async fn connect(&self, plan: &NicPlan, end: HostEnd, mode: PortMode) -> anyhow::Result<()> {
        let attachment = PortAttachment {
            port: plan.port,
            ifindex: end.link,
            kind: end.kind,
            mac: MacAddr(plan.mac),
            router_mac: vswitch::router_mac(),
        };
        let port = plan.port;
        self.plane
            .call(move |plane| -> anyhow::Result<()> {
                plane.attach(attachment)?;
                let snapshot = Arc::clone(plane.switch.policy());
                plane.engine.set_generations(&generations(&snapshot))?;
                plane.connect(port, end.link, mode);
                plane
                    .set_mode(port, mode)
                    .map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
                Ok(())
            })
            .await?
            .with_context(|| format!("cannot attach NIC {}", plan.name))
    }

    /// Where a guest is; None for an attached guest whose namespace is not known yet.
    fn place(&self, state: &mut State, name: &str, guest: &Guest) -> anyhow::Result<Option<Place>> {
        match guest.kind {
            GuestKind::Tap => Ok(Some(Place::Tap)),
            GuestKind::Attached => {
                let path = state.desired.attached.get(name).or(guest.netns.as_ref());
                Ok(path.cloned().map(Place::TheirNamespace))
            }
            GuestKind::Netns => {
                let namespace = self.paths.namespace_of(name);
                if !state.desired.namespaces.contains(&namespace) {
                    let taken = netdev::NamespaceName::new(&namespace)
                        .map(|name| netdev::netns::Namespace::exists(&name))?;
                    anyhow::ensure!(
                        !taken,
                        "network namespace `{namespace}` is there and not ours; rename the guest, \
                         or give it kind: attached"
                    );
                    // It has gone since all were claimed.
                    state.desired.namespaces.insert(namespace.clone());
                    self.store.put(DESIRED, &state.desired)?;
                }
                Ok(Some(Place::OurNamespace(namespace)))
            }
        }
    }

    /// Removes NICs, and namespaces in which none is left. What is gone already is no problem.
    pub(crate) async fn remove_nics(&self, state: &mut State, gone: &[(NicName, PortId)]) {
        for (name, port) in gone {
            let port = *port;
            let detached = self.plane.call(move |plane| {
                let detached = plane.engine.detach(port);
                plane.remove(port);
                detached
            });
            if let Ok(Err(error)) = detached.await {
                tracing::warn!(nic = %name, %error, "engine did not let go of a NIC");
            }
            if let Err(error) = self.network.remove_nic(port).await {
                tracing::warn!(nic = %name, %error, "cannot remove the devices of a NIC");
            }
            state.observed.remove(name);
            state.settled.forget(name);
        }
        let wanted: BTreeSet<String> = state
            .desired
            .topology
            .guests
            .iter()
            .filter(|(_, guest)| guest.kind == GuestKind::Netns)
            .map(|(name, _)| self.paths.namespace_of(name))
            .collect();
        let ours = std::mem::take(&mut state.desired.namespaces);
        for namespace in ours {
            if wanted.contains(&namespace) {
                state.desired.namespaces.insert(namespace);
            } else if let Err(error) = self.network.remove_namespace(&namespace) {
                tracing::warn!(namespace, %error, "cannot remove a namespace");
                state.desired.namespaces.insert(namespace);
            }
        }
    }
}

/// The policy that a desired state means, on this host as it is.
pub(crate) fn compiled(desired: &Desired) -> PolicyInput {
    let Desired {
        topology,
        ports,
        generations,
        ..
    } = desired;
    model::compile(topology, ports, generations, desired.underlay_mtu())
}

/// What engines compare stamps with, per port.
pub(crate) fn generations(snapshot: &Snapshot) -> Vec<(PortId, u32, u32)> {
    let policy = snapshot.generation();
    snapshot
        .nics()
        .map(|nic| (nic.port, policy, nic.path_generation))
        .collect()
}

fn plan(state: &State, name: &NicName, guest: &Guest, index: usize) -> anyhow::Result<NicPlan> {
    let nic = guest.nics.get(index).context("the guest has no such NIC")?;
    let port = state
        .desired
        .ports
        .get(name)
        .copied()
        .context("the NIC has no port")?;
    let addresses = nic
        .addresses
        .iter()
        .map(|one| IpNet::new(one.address, one.prefix_length))
        .collect::<Result<Vec<_>, _>>()?;
    let mut gateways: Vec<std::net::IpAddr> = Vec::new();
    for address in &nic.addresses {
        if !gateways
            .iter()
            .any(|known| known.is_ipv4() == address.gateway.is_ipv4())
        {
            gateways.push(address.gateway);
        }
    }
    let uplink_mtu = state.desired.uplink_mtu();
    Ok(NicPlan {
        name: name.to_string(),
        port,
        index,
        mac: nic.mac.0,
        addresses,
        gateways,
        mtu: nic.mtu_within(uplink_mtu),
        route_mtu: uplink_mtu,
        forwards: nic.ip_forwarding,
    })
}
