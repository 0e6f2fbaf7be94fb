//! An instance of its own for each test: an agent that is started, asked and ended by the real
//! binary. Waiting always has a deadline and never a fixed time.

mod connection;
mod guest;
mod probe;
mod run;
mod tap;
mod transfer;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use host::Paths;
use host::api::{FlowList, NicStats, NicSummary, Status};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;

pub(crate) use connection::Connection;
pub(crate) use guest::{Guest, mac_of};
pub(crate) use run::{Ran, Running};
pub(crate) use tap::TapGuest;
pub(crate) use transfer::Transfer;

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
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let instance = format!("lab-{}-{number}", std::process::id());
        let mut lab = Lab {
            paths: Paths::for_instance(&instance).unwrap(),
            folder: tempfile::tempdir().unwrap(),
            agent: None,
        };
        let file = lab.write(topology);
        lab.start(&[&file]);
        Some(lab)
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
        run::run(&self.paths.instance, &args)
    }

    /// Starts `clearway` on this instance, to be stopped later.
    pub(crate) fn spawn(&self, args: &[&str]) -> Running {
        Running::start(&self.paths.instance, args)
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

    /// `down`, which must succeed and leave nothing.
    pub(crate) fn down(mut self) {
        let ran = self.run(vec!["down"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        self.agent = None;
        self.assert_nothing_left();
    }

    fn assert_nothing_left(&self) {
        let starting = |folder: &str, prefix: &str| -> Vec<String> {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
            names.filter(|name| name.starts_with(prefix)).collect()
        };
        let none: [&str; 0] = [];
        let devices = starting("/sys/class/net", &self.paths.device_prefix());
        assert_eq!(devices, none, "devices left");
        let namespaces = starting("/run/netns", &format!("{}-", self.paths.instance));
        assert_eq!(namespaces, none, "namespaces left");
        assert!(!self.paths.pins.exists(), "pins left");
        assert!(!self.paths.socket.exists(), "socket left");
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

/// Tells and notes what a test could not do.
fn skipped(test: &str, reason: &str) {
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
