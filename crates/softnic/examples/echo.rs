//! A vhost-user network device that sends every frame back, and prints what happens to it.
//!
//! `echo connect PATH [PAIRS]` for a front end that listens, `echo listen PATH [PAIRS]` for one that
//! connects. Ends on SIGINT, or when standard input is closed.

#[path = "../tests/sessions/echo.rs"]
mod echo;

use std::error::Error;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use softnic::device::Device;
use softnic::features::NetFeatures;
use softnic::net_config::NetConfig;
use softnic::session::DeviceConfig;
use softnic::transport::Endpoint;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, role, path, pairs @ ..] = arguments.as_slice() else {
        return Err("usage: echo connect|listen PATH [PAIRS]".into());
    };
    let queue_pairs = pairs.first().map_or(Ok(1), |pairs| pairs.parse())?;
    let endpoint = match role.as_str() {
        "connect" => Endpoint::connect(Path::new(path))?,
        "listen" => Endpoint::listen(Path::new(path), rustix::fs::Mode::from_raw_mode(0o600))?,
        other => return Err(format!("role {other}, neither connect nor listen").into()),
    };
    let net = NetConfig {
        mac: [0x02, 0, 0, 0, 0, 1],
        link_up: true,
        announce: false,
        queue_pairs,
        mtu: 9000,
    };
    vring::fault::install()?;
    let config = DeviceConfig::new(net, NetFeatures::OFFLOADS)?;
    let mut echo = echo::Echo::new(Device::new(endpoint, config));
    let ended = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&ended);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        seen.store(true, Ordering::Relaxed);
    });
    while !ended.load(Ordering::Relaxed) {
        let moved = echo.turn();
        for line in echo.log.drain(..) {
            println!("{line}");
        }
        if !moved {
            echo.sleep()?;
        }
    }
    println!("echoed {} dropped {}", echo.echoed, echo.dropped);
    println!("counters {:?}", echo.device.counters());
    Ok(())
}
