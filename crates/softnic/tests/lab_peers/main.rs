//! Front ends as they are in use: QEMU and DPDK, against our back end.
//!
//! QEMU runs no guest but its network boot firmware, which drives a virtio-net device; it, and DPDK's
//! testpmd with virtio-user, send frames and get every one of them back.

#[path = "../sessions/echo.rs"]
mod echo;
mod lab_qemu;
mod lab_testpmd;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use echo::Echo;
use rustix::fs::Mode;
use rustix::process::{Pid, Signal, kill_process};
use softnic::device::Device;
use softnic::features::NetFeatures;
use softnic::net_config::NetConfig;
use softnic::session::DeviceConfig;
use softnic::transport::Endpoint;

/// How long a peer may take to start and do its part.
const PATIENCE: Duration = Duration::from_secs(25);

/// A program that is ended with the test.
struct Peer(Child);

impl Peer {
    fn start(command: &mut Command, log: &Path) -> Self {
        let log = std::fs::File::create(log).unwrap();
        command
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap());
        Self(command.stdout(log).spawn().unwrap())
    }

    /// Asks the program to end as a user would.
    fn interrupt(&self) {
        let id = i32::try_from(self.0.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), Signal::INT).unwrap();
    }

    fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether there is a program; that there is not is told and noted.
fn has(program: &str, test: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join(program).is_file()) {
        return true;
    }
    eprintln!("skipped, because there is no {program}");
    if let Some(journal) = std::env::var_os("CLEARWAY_SKIPPED_FILE") {
        let file = OpenOptions::new().create(true).append(true).open(journal);
        file.and_then(|mut file| writeln!(file, "{test}\tthere is no {program}"))
            .unwrap();
    }
    false
}

fn back_end(path: &Path, queue_pairs: u16, listens: bool) -> Echo {
    let net = NetConfig {
        mac: [2, 0, 0, 0, 0, 1],
        link_up: true,
        announce: false,
        queue_pairs,
        mtu: 1500,
    };
    let endpoint = if listens {
        Endpoint::listen(path, Mode::from_raw_mode(0o600)).unwrap()
    } else {
        Endpoint::connect(path).unwrap()
    };
    let config = DeviceConfig::new(net, NetFeatures::OFFLOADS).unwrap();
    Echo::new(Device::new(endpoint, config))
}

/// Serves until something is so.
fn serve_until(echo: &mut Echo, what: &str, mut is_so: impl FnMut(&Echo) -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so(echo) {
        assert!(Instant::now() < end, "{what}: {:#?}", echo.log);
        if !echo.turn() {
            echo.sleep().unwrap();
        }
    }
}
