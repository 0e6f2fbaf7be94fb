//! What clients see of the state.

use flow::{DropCounters, DropReason, PortId};
use model::{GuestKind, NicName};

use crate::agent::{Agent, State};
use crate::api::{
    DropRow, FlowList, GuestView, NicDetail, NicStats, NicSummary, PathStats, Status, UplinkView,
};
use crate::dataplane::{DataPlane, FlowsQuery, PortReport};
use crate::error::RequestError;
use crate::guest::{Place, namespace_path};

/// Flows listed in one answer, unless the client asks for fewer.
pub(crate) const FLOWS_LISTED_MAX: usize = 10_000;

/// What drops are listed under of which it was not found whose they were.
const UPLINK: &str = "uplink";

/// What drops are listed under of frames that did not reach the agent.
const HOST: &str = "host";

impl Agent {
    pub(crate) async fn status(&self) -> Result<Status, RequestError> {
        let state = self.state.lock().await;
        let ports: Vec<PortId> = state.desired.ports.values().copied().collect();
        // Not whole reports, which ask the engine: this is what is asked again and again.
        let of_plane = move |plane: &mut DataPlane| {
            let ports = ports.into_iter();
            let of_switch = ports.filter_map(|port| plane.switch.port(port));
            let first_packets: u64 = of_switch.map(|port| port.counters.first_packets).sum();
            (
                plane.switch.flows().len(),
                first_packets,
                plane.scheduling(),
            )
        };
        let (flows, first_packets, scheduling) = self.plane.call(of_plane).await?;
        let lost = self.lost().await?;
        Ok(Status {
            instance: self.paths.instance.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: self.started,
            topology: state.desired.topology.name.clone(),
            generation: state.snapshot.generation(),
            engine: self.engine.clone(),
            nics: state
                .observed
                .values()
                .filter(|observed| observed.mode.is_some())
                .count(),
            flows,
            taken_over: self.taken_over,
            first_packets,
            exceptions_lost: lost.iter().map(|(_, packets, _)| packets).sum(),
            scheduling,
            resident_bytes: resident_bytes(),
            uplink: self.uplink_view(&state).await?,
        })
    }

    pub(crate) async fn nic_list(&self) -> Result<Vec<NicSummary>, RequestError> {
        let state = self.state.lock().await;
        let reports = self.reports(&state).await?;
        let names = state.desired.topology.nics().map(|(name, ..)| name);
        Ok(names
            .map(|name| {
                let report = reports.iter().find(|(reported, _)| *reported == name);
                summary(&state, &name, report.map(|(_, report)| report))
            })
            .collect())
    }

    pub(crate) async fn nic_detail(
        &self,
        guest: &str,
        nic: &str,
    ) -> Result<NicDetail, RequestError> {
        let state = self.state.lock().await;
        let name = state.find_nic(guest, nic)?;
        let port = state.port(&name)?;
        let report = self.plane.call(move |plane| plane.report(port)).await?;
        let topology = &state.desired.topology;
        let found = topology
            .nic(&name)
            .ok_or_else(|| RequestError::NicNotFound(name.to_string()))?;
        let compiled = state.snapshot.nic(port);
        let json = |value: Result<serde_json::Value, serde_json::Error>| {
            value.map_err(|error| RequestError::Failed(error.into()))
        };
        Ok(NicDetail {
            summary: summary(&state, &name, report.as_ref()),
            port: port.0,
            mtu: found.mtu_within(state.desired.uplink_mtu()),
            ip_forwarding: found.ip_forwarding,
            asgs: found.asgs.clone(),
            policy_generation: state.snapshot.generation(),
            path_generation: compiled.map_or(0, |nic| nic.path_generation),
            effective_nsg: json(serde_json::to_value(model::effective::effective_rules(
                topology, &name,
            )))?,
            effective_routes: json(serde_json::to_value(model::effective::effective_routes(
                topology, &name,
            )))?,
        })
    }

    pub(crate) async fn nic_stats(&self, guest: &str, nic: &str) -> Result<NicStats, RequestError> {
        let state = self.state.lock().await;
        let name = state.find_nic(guest, nic)?;
        let port = state.port(&name)?;
        let report = self.plane.call(move |plane| plane.report(port)).await?;
        Ok(report.map_or_else(
            || NicStats {
                name: name.to_string(),
                ..NicStats::default()
            },
            |report| stats(&name, &report),
        ))
    }

    pub(crate) async fn nic_flows(
        &self,
        guest: &str,
        nic: &str,
        not_offloaded: bool,
        limit: usize,
    ) -> Result<FlowList, RequestError> {
        let state = self.state.lock().await;
        let name = state.find_nic(guest, nic)?;
        let port = state.port(&name)?;
        let query = FlowsQuery {
            port,
            not_offloaded,
            limit: limit.min(FLOWS_LISTED_MAX),
        };
        let (total, flows) = self
            .plane
            .call(move |plane| plane.flow_rows(&query))
            .await?;
        Ok(FlowList {
            nic: name.to_string(),
            total,
            flows,
        })
    }

    pub(crate) async fn drop_rows(&self) -> Result<Vec<DropRow>, RequestError> {
        let state = self.state.lock().await;
        let reports = self.reports(&state).await?;
        let mut rows: Vec<DropRow> = reports
            .iter()
            .flat_map(|(name, report)| drop_rows(&name.to_string(), &report.drops))
            .collect();
        if let Some(uplink) = self.uplink_view(&state).await? {
            rows.extend(uplink.drops);
        }
        rows.extend(drop_rows(HOST, &self.lost().await?));
        Ok(rows)
    }

    /// Drops of frames on their way to the agent: in its own queue, and in the kernel's before it.
    async fn lost(&self) -> Result<DropCounters, RequestError> {
        let mut lost = self.plane.call(|plane| plane.lost()).await?;
        let dropped = self.network.exceptions_dropped().await?;
        let since_start = dropped.saturating_sub(self.exceptions_dropped_before);
        lost.add(DropReason::ExceptionQueueFull, since_start, 0);
        Ok(lost)
    }

    pub(crate) async fn guest_view(&self, guest: &str) -> Result<GuestView, RequestError> {
        let state = self.state.lock().await;
        let topology = &state.desired.topology;
        let found = topology
            .guests
            .get(guest)
            .ok_or_else(|| RequestError::GuestNotFound(guest.to_owned()))?;
        let place = match found.kind {
            GuestKind::Tap => None,
            GuestKind::Netns => Some(Place::OurNamespace(self.paths.namespace_of(guest))),
            GuestKind::Attached => {
                let path = state.desired.attached.get(guest).or(found.netns.as_ref());
                path.cloned().map(Place::TheirNamespace)
            }
        };
        let netns = place.as_ref().and_then(namespace_path);
        Ok(GuestView {
            name: guest.to_owned(),
            kind: found.kind.to_string(),
            netns: netns.map(|path| path.display().to_string()),
            nics: found
                .nics
                .iter()
                .map(|nic| format!("{guest}/{}", nic.name))
                .collect(),
        })
    }

    async fn uplink_view(&self, state: &State) -> Result<Option<UplinkView>, RequestError> {
        let Some(uplink) = &state.desired.topology.uplink else {
            return Ok(None);
        };
        let report = self.plane.call(|plane| plane.report(PortId::UPLINK));
        let report = report.await?.unwrap_or_default();
        let up = state.uplink.is_up();
        Ok(Some(UplinkView {
            interface: uplink.interface.clone(),
            provider_address: uplink.provider_address,
            vxlan_port: uplink.vxlan_port,
            state: if up { "up" } else { "down" }.to_owned(),
            reason: state.uplink.problem.clone(),
            since: state.uplink.since.unwrap_or(self.started),
            underlay_mtu: state.desired.underlay_mtu(),
            mtu: state.desired.uplink_mtu(),
            accelerated: accelerated(&report),
            synthetic: synthetic(&report),
            exceptions: report.engine.exceptions,
            drops: drop_rows(UPLINK, &report.drops),
        }))
    }

    /// Every NIC's counters, taken at one moment.
    async fn reports(&self, state: &State) -> Result<Vec<(NicName, PortReport)>, RequestError> {
        let ports: Vec<_> = state
            .desired
            .ports
            .iter()
            .map(|(name, port)| (name.clone(), *port))
            .collect();
        let reports = self.plane.call(move |plane| {
            let all = ports.into_iter();
            all.filter_map(|(name, port)| Some((name, plane.report(port)?)))
                .collect::<Vec<_>>()
        });
        Ok(reports.await?)
    }
}

fn summary(state: &State, name: &NicName, report: Option<&PortReport>) -> NicSummary {
    let topology = &state.desired.topology;
    let nic = topology.nic(name);
    let kind = topology
        .guests
        .get(name.guest())
        .map(|guest| guest.kind.to_string());
    NicSummary {
        name: name.to_string(),
        kind: kind.unwrap_or_default(),
        subnet: nic
            .map(|nic| format!("{}/{}", nic.vnet, nic.subnet))
            .unwrap_or_default(),
        addresses: nic
            .map(|nic| nic.addresses.iter().map(|one| one.address).collect())
            .unwrap_or_default(),
        mac: nic.map(|nic| nic.mac.to_string()).unwrap_or_default(),
        device: state
            .observed
            .get(name)
            .and_then(|observed| observed.device.clone()),
        vf: state.vf(name),
        flows: report.map_or(0, |report| report.flows),
    }
}

fn stats(name: &NicName, report: &PortReport) -> NicStats {
    let (engine, switch) = (&report.engine, &report.switch);
    NicStats {
        name: name.to_string(),
        accelerated: accelerated(report),
        synthetic: synthetic(report),
        exceptions: engine.exceptions,
        first_packets: switch.first_packets,
        resimulations: switch.resimulations,
        stale_forwarded: switch.stale_forwarded + engine.stale_forwarded,
        answered: switch.answered,
        drops: drop_rows(&name.to_string(), &report.drops),
    }
}

fn accelerated(report: &PortReport) -> PathStats {
    let engine = &report.engine;
    PathStats {
        from_guest_packets: engine.from_guest_packets,
        from_guest_bytes: engine.from_guest_bytes,
        to_guest_packets: engine.to_guest_packets,
        to_guest_bytes: engine.to_guest_bytes,
    }
}

fn synthetic(report: &PortReport) -> PathStats {
    let switch = &report.switch;
    PathStats {
        from_guest_packets: switch.from_guest_packets,
        from_guest_bytes: switch.from_guest_bytes,
        to_guest_packets: switch.to_guest_packets,
        to_guest_bytes: switch.to_guest_bytes,
    }
}

fn drop_rows(name: &str, drops: &DropCounters) -> Vec<DropRow> {
    let row = |(reason, packets, bytes): (DropReason, u64, u64)| DropRow {
        nic: name.to_owned(),
        reason: reason.name().to_owned(),
        packets,
        bytes,
    };
    drops.iter().map(row).collect()
}

/// The resident memory of this process (proc(5), `/proc/self/statm`: pages, the second field).
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm
        .split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    pages * rustix::param::page_size() as u64
}
