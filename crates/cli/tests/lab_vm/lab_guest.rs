//! The guest's image keeps its promises to the tests that use it.

use crate::image::{Image, images};
use crate::vm::{Hardware, Vm};

#[test]
fn a_guest_boots_gets_an_address_and_does_what_it_is_told() {
    let images = images!();
    let hardware = Hardware {
        kernel: vec!["DHCP=eth0".to_owned()],
        qemu: [
            "-netdev",
            "user,id=net",
            "-device",
            "virtio-net-pci,netdev=net",
        ]
        .map(Into::into)
        .to_vec(),
        memory_mib: 256,
        ..Hardware::of(Image::Guest)
    };
    let mut vm = Vm::boot(&images, &hardware);

    // What QEMU's own network has for its guest, by DHCP.
    let addresses = vm.check("ip address show dev eth0");
    assert!(addresses.contains("inet 10.0.2.15/24"), "{addresses}");
    vm.check("ping -c 1 -W 20 10.0.2.2");
    let driver = vm.check("readlink /sys/class/net/eth0/device/driver");
    assert!(driver.trim_end().ends_with("/virtio_net"), "{driver}");
    for module in ["net_failover", "e1000e"] {
        vm.check(&format!("test -d /sys/module/{module}"));
    }

    // Status, output and errors stay apart, whatever is in them.
    let ran = vm.run("printf '7 0 3 0\\n\\000x'; echo oh >&2; exit 42");
    assert_eq!(ran.status, 42, "{}", ran.said());
    assert_eq!(ran.stdout, b"7 0 3 0\n\0x");
    assert_eq!(ran.stderr, b"oh\n");
    let ran = vm.run("kill -9 $$");
    assert_eq!(ran.status, 128 + 9, "{}", ran.said());

    // What goes on in the background does not hold the next command up.
    vm.check("sleep 1000 & echo $! > /tmp/pid");
    vm.check("kill $(cat /tmp/pid)");

    let bytes: Vec<u8> = (0..=255).cycle().take(40_000).collect();
    vm.write("/tmp/bytes", &bytes);
    assert_eq!(vm.run("cat /tmp/bytes").stdout, bytes);

    vm.check("iperf3 --server --daemon --one-off");
    vm.eventually("the server listens", |vm| {
        let ran = vm.run("iperf3 --client 127.0.0.1 --bytes 1M");
        (ran.status == 0).then_some(())
    });
}
