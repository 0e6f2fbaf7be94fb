use std::num::NonZeroU16;

use super::*;
use crate::machine::Primary;
use crate::qemu::tests::{machine, nic};

#[test]
fn a_machine_with_one_nic() {
    let text = arguments(&machine(vec![nic()]))
        .unwrap()
        .join(" ")
        .replace(" -", "\n-");
    insta::assert_snapshot!(text, @r"
    --cpus boot=2
    --memory size=512M,shared=on
    --kernel /boot/vmlinuz
    --initramfs /boot/initrd
    --cmdline console=ttyS0 quiet
    --serial tty
    --console off
    --api-socket /run/clearway/default/vm/web-1.control
    --net id=nic0,mac=02:c1:ea:00:00:01,vhost_user=true,vhost_mode=server,socket=/run/clearway/default/vm/web-1.nic0,num_queues=2,queue_size=256
    ");
}

#[test]
fn what_it_does_not_offer_is_said() {
    let mut tcg = machine(vec![]);
    tcg.accelerator = Accelerator::Tcg;
    assert_eq!(arguments(&tcg), Err(Unsupported::Tcg));

    let mut no_kernel = machine(vec![]);
    no_kernel.boot = None;
    assert_eq!(arguments(&no_kernel), Err(Unsupported::Kernel));

    let standby = Nic {
        primary: Some(Primary::Emulated {
            tap: "tap0".to_owned(),
        }),
        ..nic()
    };
    let nic0 = || "nic0".to_owned();
    let refused = arguments(&machine(vec![standby]));
    assert_eq!(refused, Err(Unsupported::Standby { nic: nic0() }));

    let packed = Nic {
        ring: Ring::Packed,
        ..nic()
    };
    let refused = arguments(&machine(vec![packed]));
    assert_eq!(refused, Err(Unsupported::Packed { nic: nic0() }));

    let odd = Nic {
        socket: "/tmp/a,b".into(),
        ..nic()
    };
    let refused = arguments(&machine(vec![odd]));
    assert!(matches!(refused, Err(Unsupported::Path { .. })));
}

#[test]
fn queues_are_counted_one_by_one() {
    let four = Nic {
        queue_pairs: NonZeroU16::new(4).unwrap(),
        mtu: NonZeroU16::new(1450),
        ..nic()
    };
    let text = net(&four).unwrap();
    assert!(
        text.contains("num_queues=8,queue_size=256,mtu=1450"),
        "{text}"
    );
}
