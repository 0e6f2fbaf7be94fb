//! DPDK's virtio-user, which is a driver and a front end in one.

use std::process::Command;

use crate::{Peer, back_end, has, serve_until};

const FRAMES: u64 = 500;

/// Runs testpmd with these arguments of its device, until enough frames have gone to and fro.
fn exchange(test: &str, device: &str, queue_pairs: u16, listens: bool) {
    if !has("dpdk-testpmd", test) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vf.sock");
    let mut echo = back_end(&path, queue_pairs, listens);
    let server = u8::from(!listens);
    let pairs = queue_pairs.to_string();
    let mut command = Command::new("dpdk-testpmd");
    command
        .args([
            "-l",
            "0,1",
            "--no-huge",
            "-m",
            "128",
            "--no-pci",
            "--no-telemetry",
        ])
        .args(["--no-shconf", "--log-level", "error"])
        .arg(format!(
            "--vdev=net_virtio_user0,path={},server={server},queues={pairs},{device}",
            path.display()
        ))
        .args(["--", "--nb-cores=1", "--tx-first", "--auto-start"])
        .args(["--total-num-mbufs=4096", "--stats-period", "1"])
        .args([format!("--rxq={pairs}"), format!("--txq={pairs}")]);
    let log = folder.path().join("log");
    let mut testpmd = Peer::start(&mut command, &log);
    serve_until(&mut echo, "frames come back", |echo| echo.echoed >= FRAMES);
    assert_eq!(echo.served.len(), usize::from(2 * queue_pairs));
    // While it stops, it disables rings with frames in them.
    assert_eq!(echo.dropped, 0);
    testpmd.interrupt();
    serve_until(&mut echo, "the port is stopped", |echo| {
        echo.served.is_empty()
    });
    serve_until(&mut echo, "testpmd ends", |_| testpmd.has_ended());
    let errors: Vec<_> = echo.device.counters().keys().collect();
    assert!(
        errors.is_empty() || errors == [&"peer_closed"],
        "{errors:?}"
    );
    let said = std::fs::read_to_string(&log).unwrap();
    let received = said.lines().rev().find_map(|line| {
        let rest = line.trim().strip_prefix("RX-packets: ")?;
        rest.split_whitespace().next()?.parse::<u64>().ok()
    });
    assert!(received.is_some_and(|count| count >= FRAMES / 2), "{said}");
}

#[test]
fn lab_testpmd_split_mergeable() {
    let device = "queue_size=256,packed_vq=0,mrg_rxbuf=1";
    exchange("lab_testpmd_split_mergeable", device, 2, true);
}

#[test]
fn lab_testpmd_split_plain_as_client() {
    let device = "queue_size=1024,packed_vq=0,mrg_rxbuf=0,in_order=0";
    exchange("lab_testpmd_split_plain_as_client", device, 1, false);
}

#[test]
fn lab_testpmd_packed_mergeable_as_client() {
    let device = "queue_size=256,packed_vq=1,mrg_rxbuf=1,in_order=1";
    exchange("lab_testpmd_packed_mergeable_as_client", device, 2, false);
}

#[test]
fn lab_testpmd_packed_plain() {
    let device = "queue_size=256,packed_vq=1,mrg_rxbuf=0,in_order=0";
    exchange("lab_testpmd_packed_plain", device, 1, true);
}
