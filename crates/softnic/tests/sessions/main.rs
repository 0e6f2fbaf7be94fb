//! Whole sessions over real sockets: our front end, and someone else's, against our back end.

mod echo;
mod foreign;
mod machine;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use echo::Echo;
use rustix::fs::Mode;
use softnic::device::Device;
use softnic::features::NetFeatures;
use softnic::net_config::NetConfig;
use softnic::session::DeviceConfig;
use softnic::transport::Endpoint;

const TIMEOUT: Duration = Duration::from_secs(5);

/// A back end in a thread of its own, until it is stopped.
struct BackEnd {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Echo>,
}

impl BackEnd {
    fn start(endpoint: Endpoint) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            vring::fault::install().unwrap();
            let mut echo = Echo::new(Device::new(endpoint, config()));
            while !stopped.load(Ordering::Relaxed) {
                if !echo.turn() {
                    echo.sleep().unwrap();
                }
            }
            echo
        });
        Self { stop, thread }
    }

    fn stop(self) -> Echo {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn config() -> DeviceConfig {
    let net = NetConfig {
        mac: [2, 0, 0, 0, 0, 1],
        link_up: true,
        announce: false,
        queue_pairs: 2,
        mtu: 1500,
    };
    DeviceConfig::new(net, NetFeatures::OFFLOADS).unwrap()
}

fn socket(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("vf.sock")
}

fn listen(path: &Path) -> Endpoint {
    Endpoint::listen(path, Mode::from_raw_mode(0o600)).unwrap()
}

/// Waits until something is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + TIMEOUT;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}
