use std::num::{NonZeroU16, NonZeroU32};

use wire::MacAddr;

use super::*;
use crate::machine::Boot;

pub(crate) fn nic() -> Nic {
    Nic {
        id: "nic0".to_owned(),
        mac: MacAddr([0x02, 0xc1, 0xea, 0, 0, 1]),
        socket: "/run/clearway/default/vm/web-1.nic0".into(),
        queue_pairs: NonZeroU16::MIN,
        queue_size: 256,
        ring: Ring::Split,
        mtu: None,
        primary: None,
    }
}

pub(crate) fn machine(nics: Vec<Nic>) -> Machine {
    Machine {
        name: "web-1".to_owned(),
        processors: NonZeroU16::new(2).unwrap(),
        memory_mib: NonZeroU32::new(512).unwrap(),
        accelerator: Accelerator::Kvm,
        boot: Some(Boot {
            kernel: "/boot/vmlinuz".into(),
            initrd: Some("/boot/initrd".into()),
            command_line: "console=ttyS0 quiet".to_owned(),
        }),
        nics,
        control: "/run/clearway/default/vm/web-1.control".into(),
    }
}

/// One option a line, as a person would write it into a script.
fn text(machine: &Machine) -> String {
    arguments(machine).join(" ").replace(" -", "\n-")
}

#[test]
fn a_machine_with_one_nic() {
    insta::assert_snapshot!(text(&machine(vec![nic()])));
}

#[test]
fn queues_packed_rings_and_the_mtu() {
    let nic = Nic {
        queue_pairs: NonZeroU16::new(4).unwrap(),
        queue_size: 1024,
        ring: Ring::Packed,
        mtu: NonZeroU16::new(1450),
        ..nic()
    };
    insta::assert_snapshot!(device(&nic));
}

#[test]
fn a_hardware_function_is_the_primary_of_the_stable_device() {
    let nic = Nic {
        primary: Some(Primary::Vfio("0000:3b:02.1".parse().unwrap())),
        ..nic()
    };
    let text = text(&machine(vec![nic.clone()]));
    assert!(text.contains(
        "netdev=nic0-queues,mac=02:c1:ea:00:00:01,rx_queue_size=256,tx_queue_size=256,failover=on"
    ));
    assert!(text.contains(
        "-device vfio-pci,host=0000:3b:02.1,id=nic0-vf,bus=nic0-vf-port,failover_pair_id=nic0"
    ));
    insta::assert_json_snapshot!(plug_primary(&nic).unwrap(), @r#"
    {
      "bus": "nic0-vf-port",
      "driver": "vfio-pci",
      "failover_pair_id": "nic0",
      "host": "0000:3b:02.1",
      "id": "nic0-vf"
    }
    "#);
}

#[test]
fn no_name_or_path_becomes_another_option() {
    let mut machine = machine(vec![nic()]);
    machine.name = "a,debug-threads=on".to_owned();
    machine.control = "/tmp/a,b".into();
    machine.nics[0].socket = "/tmp/c,reconnect=1".into();
    let text = text(&machine);
    for escaped in [
        "guest=a,,debug-threads=on",
        "path=/tmp/a,,b,server=on",
        "path=/tmp/c,,reconnect=1,server=on",
    ] {
        assert!(text.contains(escaped), "{text}");
    }
}
