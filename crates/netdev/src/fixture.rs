//! What the tests of this crate share: namespaces that clean up after themselves, a veth pair
//! between two of them, and frames.

use std::{
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use crate::{
    LinkName, NamespaceName, VNET_HEADER_LEN, VnetHeader,
    features::{has_net_admin, has_sys_admin},
    link::{MacAddress, OperState, VethEnd},
    netlink::Netlink,
    netns::Namespace,
    sysctl::{self, Scope, Setting},
};

/// Ends a test, saying so, where it cannot make namespaces and links.
macro_rules! require_root {
    () => {
        if let Some(reason) = $crate::fixture::unprivileged() {
            eprintln!("skipped, because {reason}");
            return;
        }
    };
}
pub(crate) use require_root;

/// A virtio-net header that asks for nothing.
pub(crate) const PLAIN: VnetHeader = [0; VNET_HEADER_LEN];

/// The Ethernet address of the veth pair's end `va`.
pub(crate) const MAC_A: MacAddress = [0x02, 0, 0, 0, 0, 0xa];
/// The Ethernet address of the veth pair's end `vb`.
pub(crate) const MAC_B: MacAddress = [0x02, 0, 0, 0, 0, 0xb];

/// An Ethernet type kept for experiments (IEEE 802), so that no stack answers.
pub(crate) const EXPERIMENT: u16 = 0x88b5;

/// How long a test waits for the kernel before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Why namespaces cannot be made here, if so.
pub(crate) fn unprivileged() -> Option<&'static str> {
    if !has_net_admin().unwrap() {
        return Some("CAP_NET_ADMIN is not effective");
    }
    (!has_sys_admin().unwrap()).then_some("CAP_SYS_ADMIN is not effective")
}

/// A name nobody else uses, here or in another process.
pub(crate) fn unique_name() -> NamespaceName {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    NamespaceName::new(&format!("netdev-test-{}-{number}", process::id())).unwrap()
}

pub(crate) fn link_name(name: &str) -> LinkName {
    LinkName::new(name).unwrap()
}

/// A named namespace without IPv6 (whose own frames would disturb), deleted on drop.
pub(crate) struct TestNamespace {
    pub(crate) name: NamespaceName,
    pub(crate) namespace: Namespace,
}

impl TestNamespace {
    pub(crate) fn new() -> Self {
        let name = unique_name();
        let namespace = Namespace::create(&name).unwrap();
        let this = Self { name, namespace };
        let quiet = [
            (Setting::DisableIpv6(Scope::All), 1),
            (Setting::DisableIpv6(Scope::Default), 1),
        ];
        sysctl::write(&this.namespace, &quiet).unwrap();
        this
    }

    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.namespace.run_in(work).unwrap()
    }

    pub(crate) fn netlink(&self) -> Netlink {
        Netlink::open(&self.namespace).unwrap()
    }
}

impl Drop for TestNamespace {
    fn drop(&mut self) {
        if let Err(error) = Namespace::delete(&self.name) {
            eprintln!("left behind: {error}");
        }
    }
}

/// Links `va` in one namespace and `vb` in another, the two ends of a pair, both up.
pub(crate) struct VethPair {
    pub(crate) a: TestNamespace,
    pub(crate) b: TestNamespace,
    pub(crate) a_index: u32,
    pub(crate) b_index: u32,
}

impl VethPair {
    pub(crate) async fn new() -> Self {
        let (a, b) = (TestNamespace::new(), TestNamespace::new());
        let (va, vb) = (link_name("va"), link_name("vb"));
        let near = VethEnd {
            mac: Some(MAC_A),
            ..VethEnd::new(va.clone())
        };
        let far = VethEnd {
            mac: Some(MAC_B),
            namespace: Some(&b.namespace),
            ..VethEnd::new(vb.clone())
        };
        a.netlink().create_veth(&near, &far).await.unwrap();
        let a_index = up(&a.netlink(), &va).await;
        let b_index = up(&b.netlink(), &vb).await;
        // The kernel attaches the queueing discipline a moment after the carrier appears; frames
        // sent before that are lost.
        passing(&a.netlink(), a_index).await;
        passing(&b.netlink(), b_index).await;
        Self {
            a,
            b,
            a_index,
            b_index,
        }
    }
}

/// An Ethernet frame from `va` to `vb`.
pub(crate) fn frame(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&MAC_B[..], &MAC_A, &ethertype.to_be_bytes(), payload].concat()
}

/// A TCP super-frame over IPv4 with a checksum still to be filled in, and its header.
pub(crate) fn super_frame(payload_len: u16) -> (VnetHeader, Vec<u8>) {
    let mut ip = [
        &[0x45, 0][..],
        &(40 + payload_len).to_be_bytes(),
        &[0, 1, 0x40, 0, 64, 6, 0, 0, 10, 9, 0, 1, 10, 9, 0, 2],
    ]
    .concat();
    let sum: u32 = ip
        .chunks(2)
        .map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])))
        .sum();
    let folded = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    ip[10..12].copy_from_slice(&(!folded).to_be_bytes());
    let tcp = [
        0x13, 0x88, 0x13, 0x89, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0,
    ];
    let payload: Vec<u8> = (0..payload_len).map(|at| (at % 251) as u8).collect();
    let mut vnet = [0; VNET_HEADER_LEN];
    vnet[0] = 1; // VIRTIO_NET_HDR_F_NEEDS_CSUM
    vnet[1] = 1; // VIRTIO_NET_HDR_GSO_TCPV4
    vnet[2..4].copy_from_slice(&54_u16.to_ne_bytes()); // hdr_len
    vnet[4..6].copy_from_slice(&1448_u16.to_ne_bytes()); // gso_size
    vnet[6..8].copy_from_slice(&34_u16.to_ne_bytes()); // csum_start
    vnet[8..10].copy_from_slice(&16_u16.to_ne_bytes()); // csum_offset
    (vnet, frame(0x0800, &[&ip[..], &tcp, &payload].concat()))
}

/// Calls `attempt` until it gives something, or the test has waited too long.
pub(crate) fn eventually<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(
            Instant::now() < deadline,
            "nothing happened within {PATIENCE:?}"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

async fn up(netlink: &Netlink, name: &LinkName) -> u32 {
    netlink.set_up(name).await.unwrap();
    netlink.link_index(name).await.unwrap()
}

async fn passing(netlink: &Netlink, index: u32) {
    let deadline = Instant::now() + PATIENCE;
    while netlink.link(index).await.unwrap().unwrap().oper_state != OperState::Up {
        assert!(Instant::now() < deadline, "link {index} did not come up");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
