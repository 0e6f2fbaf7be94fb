//! Several hosts on one underlay, each played by a network namespace: a router between them, so
//! that the kernel has to know the way. Agents, pins and files are those of this machine.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use host::api::UplinkView;
use ipnet::IpNet;
use netdev::addr::Address;
use netdev::link::VethEnd;
use netdev::netlink::Netlink;
use netdev::netns::Namespace;
use netdev::offload::{Ethtool, Offload};
use netdev::route::Route;
use netdev::sysctl::{self, Scope, Setting};
use netdev::{LinkName, NamespaceName};

use super::{Connection, Guest, Lab, eventually, skipped, unable};

/// The interface of each host towards the others.
pub(crate) const UPLINK: &str = "up0";

/// The router of the underlay. Dropping it takes it away; the hosts go by themselves.
pub(crate) struct Fabric {
    name: NamespaceName,
    namespace: Namespace,
    family: Family,
    mtu: u32,
}

/// Which IP version the underlay has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// A host on the underlay.
pub(crate) struct Machine {
    name: NamespaceName,
    namespace: Namespace,
    /// Its provider address.
    pub(crate) provider: IpAddr,
    /// The other end of its uplink.
    pub(crate) gateway: IpAddr,
}

impl Fabric {
    /// A router, where there can be a lab.
    pub(crate) fn new(test: &str, family: Family, mtu: u32) -> Option<Fabric> {
        if let Some(reason) = unable() {
            skipped(test.trim_end_matches("::here"), &reason);
            return None;
        }
        let (name, namespace) = new_namespace("fabric");
        let settings = [
            (Setting::Ipv4Forward, 1),
            (Setting::Ipv6Forwarding(Scope::All), 1),
            (Setting::AcceptDad(Scope::Default), 0),
        ];
        sysctl::write(&namespace, &settings).unwrap();
        Some(Fabric {
            name,
            namespace,
            family,
            mtu,
        })
    }

    /// A host, the number of which is in its provider address.
    pub(crate) fn host(&self, number: u8) -> Machine {
        let (name, namespace) = new_namespace(&format!("host{number}"));
        sysctl::write(&namespace, &[(Setting::AcceptDad(Scope::Default), 0)]).unwrap();
        let network = match self.family {
            Family::V4 => format!("192.0.{number}.0/24"),
            Family::V6 => format!("fd00:99:{number}::/64"),
        };
        let network: IpNet = network.parse().unwrap();
        let nth = |n: u8| match network.network() {
            IpAddr::V4(base) => IpAddr::from((u32::from(base) + u32::from(n)).to_be_bytes()),
            IpAddr::V6(base) => IpAddr::from((u128::from(base) + u128::from(n)).to_be_bytes()),
        };
        let machine = Machine {
            name,
            namespace,
            provider: nth(1),
            gateway: nth(254),
        };
        self.join(&machine, &format!("h{number}"), network.prefix_len());
        machine
    }

    /// A socket of the router, whose address no host has a reason to trust.
    pub(crate) fn router(&self) -> Guest {
        Guest::of(self.namespace.try_clone().unwrap())
    }

    /// Makes the link to a host one like any other, with whole checksums and no super-segments: a
    /// switch in user space finishes nothing.
    pub(crate) fn finish_packets_to(&self, number: u8) {
        finish_packets(&self.namespace, &format!("h{number}"));
    }

    /// Gives a host its interface, and takes it for its default route.
    pub(crate) fn join(&self, machine: &Machine, port: &str, prefix_len: u8) {
        let router = Guest::of(self.namespace.try_clone().unwrap());
        let (near, far) = (LinkName::new(UPLINK).unwrap(), LinkName::new(port).unwrap());
        machine.guest().netlink(async |netlink| {
            let near = VethEnd {
                mtu: Some(self.mtu),
                ..VethEnd::new(near.clone())
            };
            let far = VethEnd {
                mtu: Some(self.mtu),
                namespace: Some(&self.namespace),
                ..VethEnd::new(far.clone())
            };
            netlink.create_veth(&near, &far).await.unwrap();
        });
        let address = |ip| Address {
            no_dad: true,
            ..Address::from(IpNet::new(ip, prefix_len).unwrap())
        };
        router.netlink(async |netlink| {
            up(&netlink, &far, &address(machine.gateway)).await;
        });
        machine.guest().netlink(async |netlink| {
            netlink.set_up(&LinkName::new("lo").unwrap()).await.unwrap();
            up(&netlink, &near, &address(machine.provider)).await;
            let route = Route::default_by(machine.gateway);
            netlink.replace_route(&route).await.unwrap();
        });
    }
}

impl Machine {
    /// Starts an agent on it.
    pub(crate) fn agent(&self, topology: &str) -> Lab {
        Lab::up_on(Some(self.namespace.try_clone().unwrap()), topology)
    }

    /// Its own stack.
    pub(crate) fn guest(&self) -> Guest {
        Guest::of(self.namespace.try_clone().unwrap())
    }

    /// Starts a program on it.
    pub(crate) fn spawn(&self, command: &mut Command) -> std::process::Child {
        self.namespace.spawn_in(command).unwrap()
    }

    /// Runs a command of iproute2 on it; words are separated by blanks.
    #[track_caller]
    pub(crate) fn ip(&self, command: &str) {
        run_in(&self.namespace, &format!("ip {command}"));
    }

    /// The part of a topology that says how this host reaches others.
    pub(crate) fn uplink(&self, vxlan_port: u16) -> String {
        format!(
            "uplink: {{ interface: {UPLINK}, providerAddress: \"{}\", vxlanPort: {vxlan_port} }}\n",
            self.provider
        )
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = Namespace::delete(&self.name);
    }
}

impl Drop for Fabric {
    fn drop(&mut self) {
        let _ = Namespace::delete(&self.name);
    }
}

impl Lab {
    /// The uplink as the agent sees it.
    pub(crate) fn uplink(&self) -> UplinkView {
        self.status().uplink.expect("the topology has an uplink")
    }

    /// Waits until the uplink is `up` or `down`.
    #[track_caller]
    pub(crate) fn await_uplink(&self, state: &str) -> UplinkView {
        eventually(&format!("the uplink is {state}"), || {
            Some(self.uplink()).filter(|uplink| uplink.state == state)
        })
    }

    /// Frames of unknown owner that the uplink refused for one reason.
    pub(crate) fn uplink_dropped(&self, reason: &str) -> u64 {
        let drops = self.uplink().drops.into_iter();
        drops
            .filter(|row| row.reason == reason)
            .map(|row| row.packets)
            .sum()
    }
}

/// A connection between a guest here and one on another host.
#[track_caller]
pub(crate) fn connect(from: (&Lab, &str), to: (&Lab, &str), address: &str) -> Connection {
    let address: SocketAddr = address.parse().unwrap();
    Connection::between(&from.0.guest(from.1), &to.0.guest(to.1), address)
}

/// A datagram that must arrive, and its answer too.
#[track_caller]
pub(crate) fn exchange(client: &Guest, server: &Guest, address: &str) {
    let address: SocketAddr = address.parse().unwrap();
    let server = server.udp(address);
    let client = client.udp(SocketAddr::new(address.ip(), 0));
    client.send_to(b"question", address).unwrap();
    let mut bytes = [0; 16];
    let (len, peer) = server.recv_from(&mut bytes).expect("the question arrives");
    server.send_to(&bytes[..len], peer).unwrap();
    let (len, peer) = client.recv_from(&mut bytes).expect("the answer arrives");
    assert_eq!((&bytes[..len], peer), (&b"question"[..], address));
}

/// Has a link's checksums filled in before they leave by it.
pub(crate) fn finish_packets(namespace: &Namespace, link: &str) {
    let ethtool = Ethtool::open(namespace).unwrap();
    let link = LinkName::new(link).unwrap();
    ethtool.set(&link, Offload::TxChecksum, false).unwrap();
}

/// Runs a command, words separated by blanks, in a namespace. It must succeed.
#[track_caller]
pub(crate) fn run_in(namespace: &Namespace, command: &str) {
    let mut words = command.split_whitespace();
    let mut program = Command::new(words.next().expect("a program"));
    program.args(words);
    let status = namespace.spawn_in(&mut program).unwrap().wait().unwrap();
    assert!(status.success(), "{command}: {status}");
}

fn new_namespace(role: &str) -> (NamespaceName, Namespace) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("cwlab-{}-{number}-{role}", std::process::id());
    let name = NamespaceName::new(&name).unwrap();
    let namespace = Namespace::create(&name).unwrap();
    (name, namespace)
}

async fn up(netlink: &Netlink, name: &LinkName, address: &Address) {
    netlink.add_address(name, address).await.unwrap();
    netlink.set_up(name).await.unwrap();
}
