//! Two hosts and the wire between them: frames of real guests in tunnels, against the kernel's own
//! VXLAN at the far end.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use bpf::{BpfEngine, Hook};
use flow::{FlowKey, PortId};

use crate::lab::far::{FAR_GUEST, HERE, THERE, TUNNEL_MTU};
use crate::lab::{self, Far, Guest, Lab, PATIENCE, PacketSocket, ROUTER, TCP, Tap, UDP, lab};
use crate::lab_traffic::exchange;

/// The underlays to try, with each hook the kernel has.
const UNDERLAYS: [(Hook, bool); 3] = [
    (Hook::Auto, false),
    (Hook::Auto, true),
    (Hook::Clsact, false),
];

/// A host with guest 1 and an uplink.
struct Site {
    guest: Guest,
    far: Far,
    engine: BpfEngine,
    lab: Lab,
}

fn site(test: &str, (hook, is_ipv6): (Hook, bool)) -> Option<Site> {
    let lab = lab(test)?;
    let mut config = lab.config();
    config.hook = hook;
    let (mut engine, _) = lab.open_with(&config);
    let guest = Guest::new(lab.host(), 1);
    guest
        .namespace
        .ip(&format!("link set eth0 mtu {TUNNEL_MTU}"));
    lab::attach(&mut engine, guest.attachment());
    let far = Far::new(&lab, is_ipv6);
    far.attach(&mut engine);
    Some(Site {
        guest,
        far,
        engine,
        lab,
    })
}

/// What guest 1 sends to guest 3.
fn key(protocol: u8, sport: u16, dport: u16) -> FlowKey {
    lab::key(1, FAR_GUEST, protocol, sport, dport)
}

/// A socket that asks no more patience than a test has.
fn udp_socket(namespace: &lab::Namespace, address: IpAddr, port: u16) -> UdpSocket {
    let socket = namespace.run(|| UdpSocket::bind((address, port)).unwrap());
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// A TCP connection from guest 1 to guest 3, the test being the switch that tunnels its SYN.
fn connect(site: &mut Site) -> (TcpStream, TcpStream) {
    let exceptions = site.lab.exceptions(&mut site.engine);
    lab::install(&mut site.engine, &[site.far.pair(key(TCP, 4000, 5000))]);
    let wire = PacketSocket::open(site.far.ifindex);
    let to = SocketAddr::new(key(TCP, 4000, 5000).dst(), 5000);
    let from = SocketAddr::new(site.guest.ipv4().into(), 4000);
    let listener = site.far.namespace.run(|| TcpListener::bind(to).unwrap());
    thread::scope(|scope| {
        let guest = &site.guest.namespace;
        let connecting = scope.spawn(|| guest.run(|| lab::connect_from(from, to)));
        let syn = exceptions.receive(|seen| seen.frame.len() > 47 && seen.frame[47] == 2);
        assert_eq!(syn.tag, Some(1));
        let mut frame = syn.frame;
        frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, FAR_GUEST]);
        frame[6..12].copy_from_slice(&ROUTER.0);
        lab::fill_checksum(&mut frame);
        wire.send(&site.far.wrapped_for_far(&frame));
        let (accepted, _) = listener.accept().unwrap();
        (connecting.join().unwrap(), accepted)
    })
}

/// Sends so much, and checks that it is what arrives.
fn transfer(mut sender: &TcpStream, mut receiver: &TcpStream) {
    const BYTES: usize = 4 << 20;
    let data: Vec<u8> = (0..=250).cycle().take(BYTES).collect();
    let received = thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut all = vec![0; BYTES];
            receiver.read_exact(&mut all).unwrap();
            all
        });
        sender.write_all(&data).unwrap();
        reading.join().unwrap()
    });
    assert!(received == data);
}

/// The longest frame on the wire during a transfer each way, from here and to here.
fn longest(site: &Site, near: &TcpStream, far: &TcpStream) -> [usize; 2] {
    let ways = [(HERE, near, far), (THERE, far, near)];
    ways.map(|(source, sender, receiver)| {
        let wire = site.far.packet_socket();
        transfer(sender, receiver);
        let seen = wire.drain();
        let frames = seen.iter().filter(|seen| seen.frame[6..12] == source.0);
        frames.map(|seen| seen.frame.len()).max().unwrap()
    })
}

#[test]
fn a_connection_to_another_host_keeps_its_super_segments() {
    let name = "a_connection_to_another_host_keeps_its_super_segments";
    for underlay in UNDERLAYS {
        let Some(mut site) = site(name, underlay) else {
            return;
        };
        let (near, far) = connect(&mut site);
        let [out, back] = longest(&site, &near, &far);
        assert!(
            out > 10_000 && back > 10_000,
            "{underlay:?}: {out} out, {back} back"
        );
        let [guest, uplink] =
            [PortId(1), PortId::UPLINK].map(|port| site.engine.port_stats(port).unwrap());
        assert_eq!(
            (guest.exceptions, uplink.exceptions),
            (1, 0),
            "the SYN alone"
        );
        assert!(uplink.to_guest_bytes > 4 << 20 && uplink.from_guest_bytes > 4 << 20);
        assert_eq!(uplink.to_guest_packets, guest.from_guest_packets);
        assert_eq!(uplink.from_guest_packets, guest.to_guest_packets);
    }
}

/// A device that cannot cut tunnelled segments itself: the kernel does, and completes checksums.
#[test]
fn a_wire_that_takes_packets_only_gets_packets() {
    let name = "a_wire_that_takes_packets_only_gets_packets";
    for underlay in [(Hook::Auto, false), (Hook::Auto, true)] {
        let Some(mut site) = site(name, underlay) else {
            return;
        };
        site.lab.host().ip("link set uplink gso_max_size 1600");
        site.far.namespace.ip("link set wire gso_max_size 1600");
        let (near, far) = connect(&mut site);
        let [out, back] = longest(&site, &near, &far);
        assert!(
            out <= 1514 && back <= 1514,
            "{underlay:?}: {out} out, {back} back"
        );
        let stats = site.engine.port_stats(PortId(1)).unwrap();
        assert!(stats.from_guest_bytes / stats.from_guest_packets > 1514);
    }
}

#[test]
fn datagrams_pass_between_hosts_in_all_families() {
    let name = "datagrams_pass_between_hosts_in_all_families";
    for underlay in UNDERLAYS {
        let Some(mut site) = site(name, underlay) else {
            return;
        };
        site.guest.enable_ipv6();
        site.far.enable_ipv6();
        let near = [site.guest.ipv4().into(), IpAddr::from(site.guest.ipv6())];
        let far = [key(UDP, 1, 1).dst(), Guest::ipv6_of(FAR_GUEST).into()];
        for (near, far) in near.into_iter().zip(far) {
            let key = FlowKey::new(PortId(1), near, far, UDP, 4000, 5000);
            lab::install(&mut site.engine, &[site.far.pair(key)]);
            let asker = udp_socket(&site.guest.namespace, near, 4000);
            let answerer = udp_socket(&site.far.namespace, far, 5000);
            for _ in 0..3 {
                exchange(&asker, &answerer, b"question");
            }
            assert_eq!(lab::counters(&mut site.engine, key).packets, 3);
            let back = key.reversed_at(PortId(1).from_uplink());
            assert_eq!(lab::counters(&mut site.engine, back).packets, 3);
        }
    }
}

#[test]
fn a_tap_guest_speaks_with_another_host() {
    for is_ipv6 in [false, true] {
        let Some(lab) = lab("a_tap_guest_speaks_with_another_host") else {
            return;
        };
        let mut engine = lab.open();
        let mut tap = Tap::new(lab.host(), 1);
        lab::attach(&mut engine, tap.attachment());
        let far = Far::new(&lab, is_ipv6);
        far.attach(&mut engine);
        lab::install(&mut engine, &[far.pair(key(UDP, 4000, 5000))]);
        let answerer = udp_socket(&far.namespace, key(UDP, 1, 1).dst(), 5000);
        let mac = tap.attachment().mac;
        let source = wire::compose::Endpoint::new(mac, "10.0.0.1", 4000);
        tap.send(&wire::compose::udp(
            &source,
            &Guest::far(5000),
            b"from the tap",
        ));
        let mut buffer = [0; 64];
        let (length, from) = answerer.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"from the tap");
        answerer.send_to(b"to the tap", from).unwrap();
        let received = tap.receive();
        assert_eq!(&received[..6], &mac.0);
        assert_eq!(&received[42..], b"to the tap");
    }
}

#[test]
fn the_agent_gets_whole_frames_of_the_wire_and_the_host_the_rest() {
    let name = "the_agent_gets_whole_frames_of_the_wire_and_the_host_the_rest";
    for underlay in UNDERLAYS {
        let Some(mut site) = site(name, underlay) else {
            return;
        };
        let exceptions = site.lab.exceptions(&mut site.engine);
        let [host, other] = lab::far::providers(site.far.is_ipv6);
        let asker = udp_socket(site.lab.host(), host, 4000);
        let answerer = udp_socket(&site.far.namespace, other, 5000);
        exchange(&asker, &answerer, b"the host's own");
        assert!(exceptions.drain().is_empty());

        let frame = wire::compose::udp(
            &wire::compose::Endpoint::new(wire::MacAddr([2, 0, 0, 0, 0, 3]), "10.0.0.3", 1),
            &site.guest.source(2),
            b"first packet",
        );
        let wrapped = site.far.wrapped(&frame);
        site.far.packet_socket().send(&wrapped);
        let seen = exceptions.receive(|seen| seen.frame.ends_with(b"first packet"));
        assert_eq!((seen.tag, &seen.frame), (Some(PortId::UPLINK.0), &wrapped));
        site.engine.detach_uplink().unwrap();
        exchange(&asker, &answerer, b"still there");
        exceptions.drain();
        site.far.packet_socket().send(&wrapped);
        exchange(&asker, &answerer, b"behind it");
        assert!(exceptions.drain().is_empty(), "the host has it now");
    }
}

/// The kernel takes such a packet for tunnelled already, and marks no packet so twice.
#[test]
fn a_guests_own_tunnel_passes_through_ours() {
    let name = "a_guests_own_tunnel_passes_through_ours";
    for underlay in [(Hook::Auto, false), (Hook::Auto, true)] {
        let Some(mut site) = site(name, underlay) else {
            return;
        };
        let mtu = TUNNEL_MTU - 50;
        let nested = |own: u8, other: u8, device: &str| {
            let remote = format!("10.0.0.{other}");
            vec![
                format!(
                    "link add nest type vxlan id 99 local 10.0.0.{own} remote {remote} \
                     dev {device} dstport 8472 srcport 6000 6001 nolearning"
                ),
                format!("link set nest address 02:99:00:00:00:0{own} mtu {mtu} up"),
                format!("addr add 172.16.0.{own}/24 dev nest"),
                format!(
                    "neigh add 172.16.0.{other} lladdr 02:99:00:00:00:0{other} dev nest nud \
                     permanent"
                ),
            ]
        };
        site.guest.namespace.ip_all(&nested(1, 3, "eth0"));
        site.far.namespace.ip_all(&nested(3, 1, "vx"));
        let there = key(UDP, 6000, 8472);
        let (src, dst) = (there.dst(), there.src());
        let back = FlowKey::new(PortId(1).from_uplink(), src, dst, UDP, 6000, 8472);
        let pairs = [site.far.pair(there), site.far.pair(back)];
        lab::install(&mut site.engine, &pairs);
        let near = udp_socket(&site.guest.namespace, [172, 16, 0, 1].into(), 1);
        let far = udp_socket(&site.far.namespace, [172, 16, 0, 3].into(), 2);
        // A change of family cannot be told to the kernel without the mark: the agent's.
        if underlay.1 {
            let exceptions = site.lab.exceptions(&mut site.engine);
            near.send_to(b"two tunnels deep", far.local_addr().unwrap())
                .unwrap();
            exceptions.receive(|seen| seen.frame.ends_with(b"two tunnels deep"));
            continue;
        }
        for _ in 0..3 {
            exchange(&near, &far, b"two tunnels deep");
        }
        assert_eq!(lab::counters(&mut site.engine, there).packets, 3);
        assert_eq!(lab::counters(&mut site.engine, back).packets, 3);
    }
}

/// An appliance between two hosts: what came out of a tunnel goes into another, whole.
#[test]
fn a_guest_may_forward_from_tunnel_to_tunnel() {
    let name = "a_guest_may_forward_from_tunnel_to_tunnel";
    let Some(mut site) = site(name, (Hook::Auto, false)) else {
        return;
    };
    let far = &site.far.namespace;
    // Guest 3 reaches guest 4, who lives on the same other host but in a namespace of its own, by
    // the appliance and so twice over the wire.
    let deep = lab::Namespace::new("deep");
    far.ip_all(&[
        "link add deep type vxlan id 8 local 192.0.2.2 remote 192.0.2.1 dstport 4789 nolearning"
            .into(),
        format!("link set deep netns {}", deep.name),
        "route add 10.0.4.0/24 via 10.0.0.1 dev vx".into(),
    ]);
    deep.ip_all(&[
        format!("link set deep address 02:00:00:00:00:04 mtu {TUNNEL_MTU} up"),
        "addr add 10.0.4.4/24 dev deep".into(),
        "route add 10.0.0.0/24 dev deep".into(),
        "neigh add 10.0.0.3 lladdr 02:00:00:00:00:01 dev deep nud permanent".into(),
    ]);
    site.guest.namespace.run(|| {
        let ipv4 = std::path::Path::new("/proc/sys/net/ipv4");
        std::fs::write(ipv4.join("ip_forward"), "1").unwrap();
        for device in ["all", "eth0"] {
            let path = ipv4.join("conf").join(device).join("send_redirects");
            std::fs::write(path, "0").unwrap();
        }
    });
    site.guest.namespace.ip_all(&[
        "route add 10.0.4.0/24 dev eth0".into(),
        format!("neigh add 10.0.4.4 lladdr {ROUTER} dev eth0 nud permanent"),
    ]);
    let deep_vni = wire::Vni::new(8).unwrap();
    let (mac, provider) = (site.guest.attachment().mac, lab::far::providers(false)[1]);
    let vnis = [lab::far::vni(), deep_vni];
    let nics = vnis.map(|vni| (vni, mac, PortId(1)));
    let trusted = vnis.map(|vni| (vni, provider));
    site.engine.set_segments(&nics, &trusted, &vnis).unwrap();

    let (from, to) = ([10, 0, 0, 3].into(), [10, 0, 4, 4].into());
    let arriving = FlowKey::new(PortId(1).from_uplink(), from, to, TCP, 4000, 5000);
    let leaving = arriving.at(PortId(1));
    let mut first = site.far.pair(arriving);
    let mut second = site.far.pair(leaving);
    // What guest 4 answers comes and goes likewise, under the keys of the answers.
    for half in [&mut first.forward, second.reverse.as_mut().unwrap()] {
        half.transposition.eth_dst = mac;
    }
    let to_deep = &mut second.forward.transposition;
    to_deep.eth_dst = wire::MacAddr([2, 0, 0, 0, 0, 4]);
    to_deep.encap.as_mut().unwrap().vni = deep_vni;
    lab::install(&mut site.engine, &[first, second]);

    // The test is the switch that lets the SYN through, both times.
    let exceptions = site.lab.exceptions(&mut site.engine);
    let (wire, inside) = (
        PacketSocket::open(site.far.ifindex),
        PacketSocket::open(site.guest.ifindex),
    );
    let listener = deep.run(|| TcpListener::bind((to, 5000)).unwrap());
    let (sender, receiver) = thread::scope(|scope| {
        let connecting =
            scope.spawn(|| far.run(|| lab::connect_from((from, 4000).into(), (to, 5000).into())));
        let syn = exceptions.receive(|seen| seen.tag == Some(PortId::UPLINK.0));
        let mut syn = syn.frame[50..].to_vec();
        lab::fill_checksum(&mut syn);
        inside.send(&syn);
        let syn = exceptions.receive(|seen| seen.tag == Some(1) && seen.frame[23] == TCP);
        let mut syn = syn.frame;
        syn[..6].copy_from_slice(&[2, 0, 0, 0, 0, 4]);
        let mut tunnel = site.far.tunnel();
        std::mem::swap(&mut tunnel.outer_src, &mut tunnel.outer_dst);
        std::mem::swap(&mut tunnel.outer_src_mac, &mut tunnel.outer_dst_mac);
        tunnel.vni = deep_vni;
        wire.send(&lab::far::wrapped(&tunnel, &syn));
        let (accepted, _) = listener.accept().unwrap();
        (connecting.join().unwrap(), accepted)
    });
    let before = site.engine.port_stats(PortId(1)).unwrap();
    transfer(&sender, &receiver);
    let stats = site.engine.port_stats(PortId(1)).unwrap();
    assert_eq!(
        stats.exceptions, before.exceptions,
        "nothing had to be asked"
    );
    let packets = stats.to_guest_packets - before.to_guest_packets;
    let bytes = stats.to_guest_bytes - before.to_guest_bytes;
    assert!(bytes / packets > 1514, "{bytes} bytes in {packets}");
}
