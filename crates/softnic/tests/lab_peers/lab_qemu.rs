//! QEMU, which listens; the back end comes, goes and comes again.

use std::path::Path;
use std::process::Command;

use crate::{Peer, back_end, has, serve_until};

const QEMU: &str = "qemu-system-x86_64";

fn qemu(folder: &Path, device: &str) -> Peer {
    let socket = folder.join("vf.sock");
    let mut command = Command::new(QEMU);
    command
        .args([
            "-machine",
            "q35,accel=tcg,memory-backend=memory",
            "-m",
            "64",
        ])
        .args([
            "-object",
            "memory-backend-memfd,id=memory,size=64M,share=on",
        ])
        .arg("-chardev")
        .arg(format!(
            "socket,id=vf,path={},server=on,wait=off",
            socket.display()
        ))
        .args(["-netdev", "vhost-user,id=net,chardev=vf,queues=1"])
        .args(["-device", device, "-boot", "n", "-nodefaults"])
        .args(["-display", "none", "-serial", "none", "-monitor", "none"]);
    Peer::start(&mut command, &folder.join("log"))
}

#[test]
fn lab_qemu_sends_and_finds_the_next_back_end() {
    let test = "lab_qemu_sends_and_finds_the_next_back_end";
    if !has(QEMU, test) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vf.sock");
    let device = "virtio-net-pci,netdev=net,mac=02:00:00:00:00:01";
    let mut machine = qemu(folder.path(), device);
    let mut first = back_end(&path, 1, false);
    serve_until(&mut first, "the firmware sends", |echo| echo.echoed > 0);
    assert_eq!((first.served.len(), first.dropped), (2, 0));
    // The back end is gone without a word, with its queues.
    drop(first);
    let mut second = back_end(&path, 1, false);
    serve_until(&mut second, "the rings go on", |echo| {
        echo.served.len() == 2
    });
    serve_until(&mut second, "the firmware sends again", |echo| {
        echo.echoed > 0
    });
    assert_eq!(second.dropped, 0);
    machine.interrupt();
    serve_until(&mut second, "the rings are stopped", |echo| {
        echo.served.is_empty()
    });
    serve_until(&mut second, "the machine ends", |_| machine.has_ended());
    let errors: Vec<_> = second.device.counters().keys().collect();
    assert!(
        errors.is_empty() || errors == [&"peer_closed"],
        "{errors:?}"
    );
}
