//! From desired to observed.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use bpf::PortAttachment;
use flow::PortMode;
use ipnet::IpNet;
use model::{Guest, GuestKind, NicName};
use tokio::task::JoinSet;
use wire::MacAddr;

use crate::agent::{Agent, State};
use crate::api::{VfAction, VfRequest, VfState};
use crate::error::RequestError;
use crate::guest::{HostEnd, HostNetwork, NicPlan, Place};
use crate::publish::generations;
use crate::settled::DevicesUp;
use crate::uplink::Found;

/// Guests that are being made at the same time. The kernel makes one at a time; meanwhile the next
/// ones are prepared.
const GUESTS_AT_ONCE: usize = 8;

/// A NIC that is to be made real.
struct Making {
    name: NicName,
    plan: NicPlan,
    mode: PortMode,
}

/// The NICs of a guest that are to be made real.
struct GuestMaking {
    place: Place,
    nics: Vec<Making>,
}

/// What became of them: the host's end of each.
type Made = (GuestMaking, Vec<anyhow::Result<HostEnd>>);

/// Why NICs are not real, by guest and the NIC's place in it.
type Problems = BTreeMap<(String, usize), String>;

impl Agent {
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
        self.keep(&mut state).await?;
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
        self.keep(&mut state).await?;
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

    /// Writes down what of the desired state is not in the store yet.
    pub(crate) async fn keep(&self, state: &mut State) -> anyhow::Result<()> {
        let State { desired, kept, .. } = state;
        self.store.keep(kept, desired).await?;
        Ok(())
    }

    /// Makes NICs and uplink real. Returns what could not be.
    pub(crate) async fn realize_all(
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
        let topology = Arc::clone(&state.desired.topology);
        let uplink_mtu = state.desired.uplink_mtu();
        let devices = state.devices.up(&self.network).await?;
        let before = state.settled.begin();
        let mut makings = Vec::new();
        let mut problems = Problems::new();
        for (name, guest) in &topology.guests {
            if before.has(name, guest, uplink_mtu) && stands(state, name, guest, &devices) {
                continue;
            }
            match self.plan_guest(state, name, guest, &devices) {
                Ok(Some(making)) => makings.push(making),
                Ok(None) => {
                    let reason =
                        format!("waits for its namespace: clearway attach {name} --netns PATH");
                    for nic in &guest.nics {
                        self.note_down(state, &NicName::of(name, &nic.name), &reason)
                            .await?;
                    }
                }
                Err(error) => {
                    for (index, nic) in guest.nics.iter().enumerate() {
                        let nic = NicName::of(name, &nic.name);
                        let problem = self.note_problem(state, &nic, &error).await?;
                        problems.insert((name.clone(), index), problem);
                    }
                }
            }
        }
        // What is made is written down before.
        self.keep(state).await?;
        makings.retain(|making| !making.nics.is_empty());
        self.make(state, makings, &mut problems).await?;
        state.settled.finish(topology, uplink_mtu);
        Ok(problems.into_values().collect())
    }

    /// What is to be made of a guest; None for an attached guest whose namespace is not known yet.
    fn plan_guest(
        &self,
        state: &mut State,
        name: &str,
        guest: &Guest,
        devices: &DevicesUp,
    ) -> anyhow::Result<Option<GuestMaking>> {
        let Some(place) = self.place(state, name, guest)? else {
            return Ok(None);
        };
        let mut nics = Vec::new();
        for (index, nic) in guest.nics.iter().enumerate() {
            let name = NicName::of(name, &nic.name);
            let plan = plan(state, &name, guest, index)?;
            let mode = state.wanted_mode(&name);
            let observed = state.observed.get(&name).and_then(|observed| observed.mode);
            if observed != Some(mode) || !state.settled.holds(&name, &place, &plan, devices) {
                nics.push(Making { name, plan, mode });
            }
        }
        Ok(Some(GuestMaking { place, nics }))
    }

    /// Makes guests, and hands each to the data plane as soon as it is there.
    async fn make(
        &self,
        state: &mut State,
        makings: Vec<GuestMaking>,
        problems: &mut Problems,
    ) -> Result<(), RequestError> {
        let links = makings.iter().map(|making| making.nics.len()).sum();
        let _expedited = self.network.expedite(links);
        // Two guests of someone else's may be in one namespace, where they would take each other's
        // names: those come one after the other.
        let (theirs, ours): (Vec<_>, Vec<_>) = makings
            .into_iter()
            .partition(|making| matches!(making.place, Place::TheirNamespace(_)));
        let mut waiting = ours.into_iter().map(|making| vec![making]).chain([theirs]);
        let mut tasks = JoinSet::new();
        let start = |tasks: &mut JoinSet<Vec<Made>>, makings| {
            tasks.spawn(make_guests(Arc::clone(&self.network), makings));
        };
        for makings in waiting.by_ref().take(GUESTS_AT_ONCE) {
            start(&mut tasks, makings);
        }
        while let Some(made) = tasks.join_next().await {
            if let Some(next) = waiting.next() {
                start(&mut tasks, next);
            }
            for made in made.context("cannot make a guest")? {
                self.take_guest(state, made, problems).await?;
            }
        }
        Ok(())
    }

    /// Hands the NICs of a guest to the data plane.
    async fn take_guest(
        &self,
        state: &mut State,
        (GuestMaking { place, nics }, ends): Made,
        problems: &mut Problems,
    ) -> Result<(), RequestError> {
        for (nic, end) in nics.into_iter().zip(ends) {
            let key = (nic.name.guest().to_owned(), nic.plan.index);
            let name = nic.name.clone();
            if let Err(error) = self.take_made(state, &place, nic, end).await {
                let problem = self.note_problem(state, &name, &error).await?;
                problems.insert(key, problem);
            }
        }
        Ok(())
    }

    async fn take_made(
        &self,
        state: &mut State,
        place: &Place,
        Making { name, plan, mode }: Making,
        end: anyhow::Result<HostEnd>,
    ) -> anyhow::Result<()> {
        let end = end?;
        self.connect(&plan, end, mode).await?;
        let device = self.paths.port_device(plan.port);
        state.observe(&name, Some(mode), Some(device.clone()), None);
        state.settled.note(&name, place.clone(), plan, end, device);
        Ok(())
    }

    /// A NIC could not be made real; why, in words.
    async fn note_problem(
        &self,
        state: &mut State,
        name: &NicName,
        error: &anyhow::Error,
    ) -> Result<String, RequestError> {
        let problem = format!("{error:#}");
        tracing::warn!(nic = %name, problem, "NIC is not real");
        self.note_down(state, name, &problem).await?;
        Ok(problem)
    }

    /// A NIC has no device.
    async fn note_down(
        &self,
        state: &mut State,
        name: &NicName,
        reason: &str,
    ) -> Result<(), RequestError> {
        if let Some(port) = state.desired.ports.get(name).copied() {
            self.plane.call(move |plane| plane.disconnect(port)).await?;
        }
        state.observe(name, None, None, Some(reason.to_owned()));
        state.settled.forget(name);
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
                let mut now = generations(plane.switch.policy());
                now.retain(|(known, ..)| *known == port);
                plane.engine.set_generations(&now)?;
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
                    Arc::make_mut(&mut state.desired.namespaces).insert(namespace.clone());
                }
                Ok(Some(Place::OurNamespace(namespace)))
            }
        }
    }
}

/// Whether all NICs of a guest are as they were made, and as they are to be.
fn stands(state: &State, name: &str, guest: &Guest, devices: &DevicesUp) -> bool {
    guest.nics.iter().all(|nic| {
        let name = NicName::of(name, &nic.name);
        let observed = state.observed.get(&name).and_then(|observed| observed.mode);
        observed == Some(state.wanted_mode(&name)) && state.settled.stands(&name, devices)
    })
}

async fn make_guests(network: Arc<HostNetwork>, makings: Vec<GuestMaking>) -> Vec<Made> {
    let mut made = Vec::with_capacity(makings.len());
    for making in makings {
        let mut ends = Vec::with_capacity(making.nics.len());
        for nic in &making.nics {
            ends.push(network.ensure_nic(&making.place, &nic.plan).await);
        }
        made.push((making, ends));
    }
    made
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
