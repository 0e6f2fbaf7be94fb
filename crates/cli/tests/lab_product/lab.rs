//! An instance of its own for each test: an agent that is started, asked and ended by the real
//! binary. Waiting always has a deadline and never a fixed time.

mod connection;
mod guest;
mod hosts;
mod probe;
mod run;
mod silence;
mod tap;
mod transfer;
mod vm;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use host::Paths;
use host::api::{FlowList, NicStats, NicSummary, Status};
use netdev::netns::Namespace;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;

pub(crate) use connection::Connection;
pub(crate) use guest::{Guest, mac_of};
pub(crate) use hosts::{
    Fabric, Family, Machine, UPLINK, connect, exchange, finish_packets, run_in,
};
pub(crate) use probe::ALLOW;
pub(crate) use run::{Ran, Running};
pub(crate) use silence::Silence;
pub(crate) use tap::TapGuest;
pub(crate) use transfer::Transfer;
pub(crate) use vm::Vm;

/// How long a test waits for what has to happen before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// How often it looks.
const POLL: Duration = Duration::from_millis(5);

/// A lab with this topology, or the end of the test where there can be none.
macro_rules! lab {
    ($topology:expr) => {{
        fn here() {}
        match $crate::lab::Lab::up(std::any::type_name_of_val(&here), $topology) {
            Some(lab) => lab,
            None => return,
        }
    }};
}
pub(crate) use lab;

/// An instance with an agent. Dropping it takes the instance down, whatever state it is in.
pub(crate) struct Lab {
    paths: Paths,
    folder: TempDir,
    /// The namespace that plays the host; none for this host itself.
    host: Option<Namespace>,
    /// The agent that was started last.
    agent: Option<Pid>,
}

impl Lab {
    /// Starts an agent with a topology. None when this host cannot, which is told and noted.
    pub(crate) fn up(test: &str, topology: &str) -> Option<Lab> {
        if let Some(reason) = unable() {
            skipped(test.trim_end_matches("::here"), &reason);
            return None;
        }
        Some(Lab::up_on(None, topology))
    }

    /// The same on a host that is played by a namespace, where there can be labs.
    fn up_on(host: Option<Namespace>, topology: &str) -> Lab {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let instance = format!("lab-{}-{number}", std::process::id());
        let mut lab = Lab {
            paths: Paths::for_instance(&instance).unwrap(),
            folder: tempfile::tempdir().unwrap(),
            host,
            agent: None,
        };
        let file = lab.write(topology);
        lab.start(&[&file]);
        lab
    }

    pub(crate) fn paths(&self) -> &Paths {
        &self.paths
    }

    /// A path for a file of the test's own.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a topology; the path of its file.
    pub(crate) fn write(&self, topology: &str) -> String {
        let path = self.file("topology.yaml");
        std::fs::write(&path, topology).unwrap();
        path.into_os_string().into_string().unwrap()
    }

    /// `up --detach`, which must succeed.
    pub(crate) fn start(&mut self, args: &[&str]) -> Status {
        let ran = self.run([&["up", "--detach", "-o", "json"], args].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let status: Status = ran.read();
        self.agent = Pid::from_raw(status.pid.cast_signed());
        status
    }

    /// Makes a topology the desired state. All of it must have become real.
    pub(crate) fn apply(&self, topology: &str, args: &[&str]) -> host::api::ApplyResult {
        let file = self.write(topology);
        self.json([&["apply", &file, "--yes"], args].concat())
    }

    /// The answer to a command that must succeed.
    pub(crate) fn json<T: DeserializeOwned>(&self, args: Vec<&str>) -> T {
        let ran = self.run([args, vec!["-o", "json"]].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.read()
    }

    /// Runs `clearway` on this instance.
    pub(crate) fn run(&self, args: Vec<&str>) -> Ran {
        run::run(self.host.as_ref(), &self.paths.instance, &args)
    }

    /// Starts `clearway` on this instance, to be stopped later.
    pub(crate) fn spawn(&self, args: &[&str]) -> Running {
        Running::start(self.host.as_ref(), &self.paths.instance, args)
    }

    /// Runs a command in a guest; words are separated by blanks.
    pub(crate) fn exec(&self, guest: &str, command: &str) -> Ran {
        let words = command.split_whitespace();
        self.run(["exec", guest, "--"].into_iter().chain(words).collect())
    }

    pub(crate) fn status(&self) -> Status {
        self.json(vec!["status"])
    }

    pub(crate) fn nics(&self) -> Vec<NicSummary> {
        self.json(vec!["nic", "list"])
    }

    pub(crate) fn nic(&self, name: &str) -> NicSummary {
        let nics = self.nics().into_iter();
        let mut found = nics.filter(|nic| nic.name == name || nic.name == format!("{name}/nic0"));
        found.next().unwrap_or_else(|| panic!("no NIC {name}"))
    }

    pub(crate) fn stats(&self, nic: &str) -> NicStats {
        self.json(vec!["nic", "stats", nic])
    }

    pub(crate) fn flows(&self, nic: &str, args: &[&str]) -> FlowList {
        self.json([&["nic", "flows", nic], args].concat())
    }

    /// What a NIC's frames were dropped for, and how many. Without multicasts, of which a guest's
    /// kernel sends some by itself.
    pub(crate) fn drops(&self, nic: &str) -> BTreeMap<String, u64> {
        let rows = self.stats(nic).drops.into_iter();
        let rows = rows.filter(|row| row.reason != "multicast");
        rows.map(|row| (row.reason, row.packets)).collect()
    }

    /// Drops of a NIC for one reason.
    pub(crate) fn dropped(&self, nic: &str, reason: &str) -> u64 {
        self.drops(nic).get(reason).copied().unwrap_or(0)
    }

    /// A guest whose namespace the agent made.
    pub(crate) fn guest(&self, name: &str) -> Guest {
        Guest::open(&Path::new("/run/netns").join(self.paths.namespace_of(name)))
    }

    /// Takes the accelerated path of NICs away, or gives it back: `revoke`, `restore`.
    pub(crate) fn vf(&self, action: &str, nics: &[&str]) {
        for nic in nics {
            let _: Value = self.json(vec!["vf", action, nic]);
        }
    }

    /// Sends the agent a signal and waits for its end.
    pub(crate) fn end_agent(&mut self, signal: Signal) {
        end(self.agent.take().expect("an agent was started"), signal);
    }

    /// The agent's process.
    pub(crate) fn agent(&self) -> Pid {
        self.agent.expect("an agent was started")
    }

    /// Kills the agent so long after a command has begun, which ends however it can.
    pub(crate) fn kill_during(&mut self, args: &[&str], after: Duration) {
        let mut running = self.spawn(args);
        std::thread::sleep(after);
        self.end_agent(Signal::KILL);
        assert!(running.ends_within(PATIENCE), "{args:?} waits for the dead");
    }

    /// `down`, which must succeed and leave nothing.
    pub(crate) fn down(mut self) {
        let ran = self.run(vec!["down"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        self.agent = None;
        self.assert_nothing_left();
    }

    /// The devices of the instance, on the host's side.
    pub(crate) fn devices(&self) -> Vec<String> {
        let here = || Namespace::current().unwrap();
        let host = self
            .host
            .as_ref()
            .map_or_else(here, |host| host.try_clone().unwrap());
        let links = Guest::of(host).netlink(async |netlink| netlink.links().await.unwrap());
        let prefix = self.paths.device_prefix();
        let names = links.into_iter().map(|link| link.name);
        names.filter(|name| name.starts_with(&prefix)).collect()
    }

    /// The namespaces of the instance.
    pub(crate) fn namespaces(&self) -> Vec<String> {
        let prefix = format!("{}-", self.paths.instance);
        let entries = std::fs::read_dir("/run/netns").into_iter().flatten();
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter(|name| name.starts_with(&prefix)).collect()
    }

    fn assert_nothing_left(&self) {
        let none: [&str; 0] = [];
        assert_eq!(self.devices(), none, "devices left");
        assert_eq!(self.namespaces(), none, "namespaces left");
        assert!(!self.paths.pins.exists(), "pins left");
        assert!(!self.paths.socket.exists(), "socket left");
        let state = self.paths.state.parent().expect("a folder");
        assert!(!state.exists(), "state left");
    }

    /// What helps to understand a test that failed.
    fn tell(&self) {
        for args in [vec!["status"], vec!["nic", "list"], vec!["drops"]] {
            let ran = self.run(args);
            eprintln!("{}{}", ran.stdout, ran.stderr);
        }
        if let Ok(log) = std::fs::read_to_string(&self.paths.log) {
            eprintln!("the agent's log:\n{log}");
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tell();
        }
        let mut down = self.spawn(&["down"]);
        if !down.ends_within(PATIENCE) {
            down.kill();
            if let Some(agent) = self.agent {
                end(agent, Signal::KILL);
            }
            self.run(vec!["down"]);
        }
        for file in [&self.paths.socket, &self.paths.state] {
            let _ = std::fs::remove_dir_all(file.parent().expect("a folder"));
        }
    }
}

/// Calls `attempt` until it gives something, or the test has waited too long.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(POLL);
    }
}

/// Why there can be no lab here, if so.
fn unable() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("this is not root".to_owned());
    }
    bpf::supported().err().map(|error| error.to_string())
}

/// Whether this machine has all of these programs; otherwise it is told and noted which it lacks.
pub(crate) fn has_programs(test: &str, names: &[&str]) -> bool {
    let lacking = names.iter().find(|name| !vm::has_program(name));
    if let Some(name) = lacking {
        skipped(
            test.trim_end_matches("::here"),
            &format!("there is no {name}"),
        );
    }
    lacking.is_none()
}

/// Tells and notes what a test could not do.
pub(crate) fn skipped(test: &str, reason: &str) {
    eprintln!("skipped, because {reason}");
    if let Some(journal) = std::env::var_os("CLEARWAY_SKIPPED_FILE") {
        let file = OpenOptions::new().create(true).append(true).open(journal);
        file.and_then(|mut file| file.write_all(format!("{test}\t{reason}\n").as_bytes()))
            .unwrap();
    }
}

/// Ends a process that is not our child.
fn end(process: Pid, signal: Signal) {
    // No such process: it has ended already.
    let Ok(watched) = pidfd_open(process, PidfdFlags::empty()) else {
        return;
    };
    let _ = kill_process(process, signal);
    let timeout = Timespec::try_from(PATIENCE).unwrap();
    let mut fds = [PollFd::new(&watched, PollFlags::IN)];
    assert_eq!(
        poll(&mut fds, Some(&timeout)),
        Ok(1),
        "process {process:?} did not end"
    );
}
