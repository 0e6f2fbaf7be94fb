//! The agent's life, from its start to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::Context;
use bpf::{BpfEngine, Config, FlowEngine, Hook, Takeover};
use flow::{FlowKey, PortId, PortMode, Stamp, Timeouts};
use jiff::Timestamp;
use model::{Expansions, Topology};
use netdev::expedite::Expedited;
use netdev::netns::Namespace;
use netdev::receive::FrameReceiver;
use netdev::send::{FrameSender, Queueing};
use policy::Compiler;
use tokio::net::UnixListener;
use tokio::sync::{Mutex, Notify};
use vswitch::Switch;

use crate::Paths;
use crate::agent::{Agent, Desired, State};
use crate::api::{ApplyRequest, TakenOver};
use crate::clock;
use crate::dataplane::{self, DataPlane, Handle};
use crate::devices::Devices;
use crate::error::RequestError;
use crate::guest::HostNetwork;
use crate::limits;
use crate::publish::compiled;
use crate::server;
use crate::settled::Settled;
use crate::store::Store;
use crate::uplink::UplinkState;

/// How an agent is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where its things are.
    pub paths: Paths,
    /// The topology to apply first; without one, what the store holds is resumed.
    pub topology: Option<TopologySource>,
    /// Which kernel hook the engine uses.
    pub hook: Hook,
}

/// A topology document.
#[derive(Clone, Debug)]
pub struct TopologySource {
    /// What to call it in messages.
    pub file_name: String,
    /// Its text.
    pub source: String,
}

/// Runs an agent until it is told to end.
///
/// On SIGINT and SIGTERM the agent ends and the data path stays: established flows go on, and the
/// next agent takes over. `down` removes everything.
pub async fn serve(options: Options) -> anyhow::Result<()> {
    let paths = &options.paths;
    let wanted = options.topology.as_ref().map(check).transpose()?;
    let listener = listen(paths).await?;
    let (agent, thread) = start(&options, wanted).await?;
    agent.remove_strays().await.map_err(into_anyhow)?;
    let problems = match &options.topology {
        None => agent.resume().await,
        Some(topology) => {
            let request = ApplyRequest {
                source: topology.source.clone(),
                file_name: topology.file_name.clone(),
                dry_run: false,
                reevaluate: false,
            };
            agent.apply(&request).await.map(|result| result.problems)
        }
    };
    for problem in problems.map_err(into_anyhow)? {
        tracing::warn!("{problem}");
    }
    tracing::info!(socket = %paths.socket.display(), "agent serves");
    let uplink = tokio::spawn(Arc::clone(&agent).follow_uplink());
    let app = server::router(Arc::clone(&agent));
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let end = {
        let agent = Arc::clone(&agent);
        async move {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
                () = agent.down.notified() => {}
            }
        }
    };
    // Streams that are followed do not keep the agent from ending: `down` has answered by then.
    tokio::select! {
        served = axum::serve(listener, app) => served.context("control socket")?,
        () = end => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
    }
    uplink.abort();
    // What is gone needs no stopping.
    let _ = agent.plane.call(DataPlane::stop).await;
    let joined = tokio::task::spawn_blocking(move || thread.join()).await?;
    let removed = agent.state.lock().await.desired.ports.is_empty()
        && agent.network.our_devices().await?.is_empty();
    if removed {
        agent.network.remove_exception_device().await?;
        bpf::unload_everything(&paths.pins).context("cannot unload the engine")?;
        remove_state(paths)?;
    }
    // Someone else's socket would be another agent's, which the store's lock rules out.
    let _ = std::fs::remove_file(&paths.socket);
    joined.map_err(|_| anyhow::anyhow!("the data plane ended by a panic; see the log"))
}

/// Removes everything an instance made, when no agent runs to do it. Returns what was removed.
pub async fn teardown(paths: &Paths) -> anyhow::Result<Vec<String>> {
    Expedited::recover(&paths.expedited_note())?;
    let mut removed = Vec::new();
    let network = HostNetwork::open(paths)?;
    if paths.state.exists() {
        let store = Store::open(&paths.state)?;
        let (desired, _) = store.load()?;
        let _expedited = network.expedite(desired.ports.len());
        bpf::unload_everything(&paths.pins).context("cannot unload the engine")?;
        let ports: Vec<PortId> = desired.ports.values().copied().collect();
        let had_device = network.remove_nics(&ports).await?;
        let gone = desired.ports.iter();
        let gone = gone.filter(|(_, port)| had_device.contains(port));
        removed.extend(gone.map(|(name, _)| format!("NIC {name}")));
        for device in network.remove_strays(&BTreeSet::new()).await? {
            removed.push(format!("device {device}"));
        }
        for namespace in desired.namespaces.iter() {
            if network.remove_namespace(namespace)? {
                removed.push(format!("network namespace {namespace}"));
            }
        }
        remove_state(paths)?;
    } else {
        bpf::unload_everything(&paths.pins).context("cannot unload the engine")?;
    }
    if network.remove_exception_device().await? {
        removed.push(format!("device {}", paths.exception_device()));
    }
    remove_file(&paths.socket)?;
    Ok(removed)
}

/// The state, and the folder that was made for it.
fn remove_state(paths: &Paths) -> anyhow::Result<()> {
    remove_file(&paths.state)?;
    if let Some(folder) = paths.state.parent() {
        // What someone else keeps there is theirs.
        let _ = std::fs::remove_dir(folder);
    }
    Ok(())
}

/// What is not there is removed already.
fn remove_file(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// A command that will run in a guest's namespace, seeing what `ip netns exec` would show it.
pub fn command_in<I, S>(netns: &Path, program: &OsStr, arguments: I) -> anyhow::Result<Command>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let namespace =
        Namespace::open_path(netns).with_context(|| format!("cannot open {}", netns.display()))?;
    let mut command = Command::new(program);
    command.args(arguments);
    namespace.enter_like_ip_netns_exec(&mut command)?;
    Ok(command)
}

/// A document with errors is refused before anything is touched.
fn check(topology: &TopologySource) -> anyhow::Result<Topology> {
    match model::parse(&topology.source, &topology.file_name) {
        Ok(checked) => Ok(checked.topology),
        Err(found) => Err(anyhow::anyhow!("{found}")),
    }
}

/// The control socket, for root alone: who may speak to it may reconfigure the host's network.
async fn listen(paths: &Paths) -> anyhow::Result<UnixListener> {
    let path = &paths.socket;
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
    }
    if tokio::net::UnixStream::connect(path).await.is_ok() {
        anyhow::bail!(
            "an agent of instance `{}` runs already; `clearway apply` changes its topology, \
             `clearway down` ends it",
            paths.instance
        );
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot replace {}", path.display()));
        }
        _ => {}
    }
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Everything up to the point where the agent can be asked to do things.
async fn start(
    options: &Options,
    topology: Option<Topology>,
) -> anyhow::Result<(Arc<Agent>, std::thread::JoinHandle<()>)> {
    let paths = options.paths.clone();
    Expedited::recover(&paths.expedited_note())?;
    bpf::supported().context("this host cannot run the accelerated path")?;
    netdev::features::ensure_bpffs().context("cannot mount the BPF file system")?;
    let store = Store::open(&paths.state)?;
    let (desired, kept) = store.load()?;
    let mut limits = limits::of(&desired.topology.host);
    if let Some(topology) = &topology {
        // Made for what comes; all else of it is applied later.
        limits.flows_max = limits::flows_max(&topology.host);
    }
    let (mut engine, takeover) = BpfEngine::open(&Config {
        pin_dir: paths.pins.clone(),
        flows_max: limits.flows_max,
        hook: options.hook,
        exceptions_per_second: limits.first_packets_per_second,
        resimulations_per_second: limits.resimulations_per_second,
    })
    .context("cannot open the eBPF engine")?;
    let network = Arc::new(HostNetwork::open(&paths)?);
    let exceptions = network.ensure_exception_device().await?;
    let exceptions_dropped_before = network.exceptions_dropped().await?;
    engine.set_exception_device(exceptions)?;
    let receiver = FrameReceiver::new(exceptions, DataPlane::batch_frames())
        .context("cannot receive exceptions")?;
    let sender = FrameSender::new(Queueing::Discipline).context("cannot send frames")?;
    let mut expansions = Expansions::default();
    let mut compiler = Compiler::new(policy::Limits::default());
    let snapshot = Arc::new(
        compiler
            .compile(&compiled(&mut expansions, &desired))
            .context("cannot compile the policy")?,
    );
    let timeouts = desired.topology.host.timeouts.over(Timeouts::default());
    let mut switch = Switch::new(limits, timeouts, Arc::clone(&snapshot), seed()?);
    let found = take_over(&desired, &mut engine, &mut switch, &takeover)?;
    let engine_name = format!("{} ({})", engine.name(), engine.hook());
    let plane = DataPlane::new(switch, engine, sender);
    let (plane, thread): (Handle, _) = dataplane::start(plane, receiver)?;
    let agent = Agent {
        paths,
        store,
        network: Arc::clone(&network),
        plane,
        engine: engine_name,
        flows_max: limits.flows_max,
        started: Timestamp::now(),
        taken_over: found,
        exceptions_dropped_before,
        state: Mutex::new(State {
            desired,
            kept,
            expansions,
            compiler,
            snapshot,
            told: None,
            observed: BTreeMap::new(),
            devices: Devices::watched(&network),
            settled: Settled::default(),
            uplink: UplinkState::default(),
        }),
        read: Mutex::new(None),
        down: Notify::new(),
    };
    Ok((Arc::new(agent), thread))
}

/// Brings what the engine holds and what the store says together. Frames flow meanwhile: nothing
/// here stops an entry that goes on being true.
fn take_over(
    desired: &Desired,
    engine: &mut BpfEngine,
    switch: &mut Switch,
    takeover: &Takeover,
) -> anyhow::Result<TakenOver> {
    let known: Vec<_> = desired.ports.values().copied().collect();
    for found in &takeover.ports {
        if known.contains(&found.port) || found.port == PortId::UPLINK {
            switch.add_port(found.port, found.mode);
        } else {
            engine.detach(found.port)?;
        }
    }
    // Until the interface has been looked at, it is taken to be as it was.
    if engine.uplink_device().is_some() {
        switch.add_port(PortId::UPLINK, PortMode::Accelerated);
    }
    // The mapping versions of this process begin anew; entries are stamped with them below, before
    // the kernel is told, so that nothing is stale that need not be.
    let mut halves = Vec::new();
    engine.dump(&mut |half, counters, _| halves.push((*half, *counters)));
    let count = halves.len();
    let adopted = switch.adopt(halves, clock::now());
    let mut counters = Vec::new();
    engine.remove(&adopted.orphans, &mut counters);
    let stamps: Vec<(FlowKey, Stamp)> = adopted.stamps;
    let policy = Arc::clone(switch.policy());
    let versions: Vec<(u32, u32)> = policy
        .slot_versions()
        .map(|(slot, version)| (slot.0, version))
        .collect();
    engine.restamp(&stamps);
    engine.set_mapping_versions(&versions)?;
    engine.set_generations(&crate::publish::generations(&policy))?;
    Ok(TakenOver {
        ports: takeover
            .ports
            .iter()
            .filter(|found| known.contains(&found.port))
            .count(),
        flows: count - adopted.orphans.len(),
    })
}

/// What guests cannot guess.
fn seed() -> anyhow::Result<u64> {
    let mut bytes = [0; 8];
    let random = std::fs::File::open("/dev/urandom").context("cannot open /dev/urandom")?;
    std::io::Read::read_exact(&mut { random }, &mut bytes).context("cannot read /dev/urandom")?;
    Ok(u64::from_ne_bytes(bytes))
}

fn into_anyhow(error: RequestError) -> anyhow::Error {
    match error {
        RequestError::Failed(error) => error,
        other => other.into(),
    }
}
