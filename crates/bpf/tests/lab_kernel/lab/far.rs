//! Another host, which is Linux alone: the far end of the underlay's wire, with a VXLAN device of
//! the kernel's on which guest 3 lives.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bpf::{BpfEngine, UplinkAttachment};
use flow::{Encap, FlowKey, FlowPair, Half, PortId, Stamp, Transposition, Verdict};
use wire::vxlan::{VxlanEncap, push_vxlan};
use wire::{MacAddr, Vni};

use super::guest::{self, Guest};
use super::{Lab, Namespace, PacketSocket, ROUTER};

pub(crate) const VXLAN_PORT: u16 = 4789;
/// The host's end of the wire, and the other.
pub(crate) const HERE: MacAddr = MacAddr([2, 0, 0, 0, 0xaa, 1]);
pub(crate) const THERE: MacAddr = MacAddr([2, 0, 0, 0, 0xaa, 2]);
/// The number of the guest that lives there.
pub(crate) const FAR_GUEST: u8 = 3;
/// What a packet of a guest may have left, over either family.
pub(crate) const TUNNEL_MTU: u16 = 1430;

pub(crate) fn vni() -> Vni {
    Vni::new(7).unwrap()
}

/// The underlay's addresses: this host's, and the other's.
pub(crate) fn providers(is_ipv6: bool) -> [IpAddr; 2] {
    [1, 2].map(|number| {
        if is_ipv6 {
            Ipv6Addr::new(0xfd00, 0xaa, 0, 0, 0, 0, 0, number).into()
        } else {
            Ipv4Addr::new(192, 0, 2, number.try_into().unwrap()).into()
        }
    })
}

/// The other host.
pub(crate) struct Far {
    pub(crate) namespace: Namespace,
    /// The device of the wire, on this host.
    pub(crate) ifindex: u32,
    pub(crate) is_ipv6: bool,
}

impl Far {
    /// A wire, and a host at its end that reaches guest 1 through the tunnel.
    pub(crate) fn new(lab: &Lab, is_ipv6: bool) -> Far {
        let (host, namespace) = (lab.host(), Namespace::new("far"));
        let [here, there] = providers(is_ipv6);
        host.ip(&format!(
            "link add uplink address {HERE} type veth peer name wire address {THERE} netns {}",
            namespace.name
        ));
        host.ip("link set uplink up");
        namespace.ip("link set wire up");
        for (namespace, device, address) in [(host, "uplink", here), (&namespace, "wire", there)] {
            if is_ipv6 {
                namespace.add_ipv6(device, address);
            } else {
                namespace.ip(&format!("addr add {address}/24 dev {device}"));
            }
        }
        let zero_checksums = if is_ipv6 {
            " udp6zerocsumtx udp6zerocsumrx"
        } else {
            ""
        };
        let (router, mac) = (guest::mac(1), guest::mac(FAR_GUEST));
        namespace.ip_all(&[
            format!(
                "link add vx type vxlan id {} local {there} remote {here} dstport {VXLAN_PORT} \
                 nolearning{zero_checksums}",
                vni().get()
            ),
            format!("link set vx address {mac} mtu {TUNNEL_MTU} up"),
            format!("addr add {}/24 dev vx", guest::ipv4(FAR_GUEST)),
            format!(
                "neigh add {} lladdr {router} dev vx nud permanent",
                guest::ipv4(1)
            ),
        ]);
        Far {
            ifindex: host.ifindex("uplink"),
            namespace,
            is_ipv6,
        }
    }

    /// Gives guest 3 its IPv6 address too.
    pub(crate) fn enable_ipv6(&self) {
        let (own, near) = (Guest::ipv6_of(FAR_GUEST), Guest::ipv6_of(1));
        self.namespace.add_ipv6("vx", own.into());
        let mac = guest::mac(1);
        let neighbour = format!("neigh add {near} lladdr {mac} dev vx nud permanent");
        self.namespace.ip(&neighbour);
    }

    /// Attaches the uplink, and lets guest 1 receive from the other host.
    pub(crate) fn attach(&self, engine: &mut BpfEngine) {
        engine.attach_uplink(self.attachment()).unwrap();
        let nics = [(vni(), guest::mac(1), PortId(1))];
        let provider = [(vni(), providers(self.is_ipv6)[1])];
        engine.set_segments(&nics, &provider, &[vni()]).unwrap();
    }

    /// A socket that sends and sees frames at the other end of the wire.
    pub(crate) fn packet_socket(&self) -> PacketSocket {
        let ifindex = self.namespace.ifindex("wire");
        self.namespace.run(move || PacketSocket::open(ifindex))
    }

    pub(crate) fn attachment(&self) -> UplinkAttachment {
        UplinkAttachment {
            ifindex: self.ifindex,
            address: providers(self.is_ipv6)[0],
            vxlan_port: VXLAN_PORT,
        }
    }

    pub(crate) fn encap(&self) -> Encap {
        let [outer_src, outer_dst] = providers(self.is_ipv6);
        Encap {
            outer_src,
            outer_dst,
            vni: vni(),
            dst_port: VXLAN_PORT,
        }
    }

    /// Both directions between guest 1 and guest 3, for what guest 1 sends with this key or, if it
    /// is marked, receives.
    pub(crate) fn pair(&self, key: FlowKey) -> FlowPair {
        let out = |key, peer, forward| {
            let to = (Verdict::Uplink, guest::mac(FAR_GUEST), TUNNEL_MTU);
            half(key, to, Some(self.encap()), peer, forward)
        };
        let back = |key, peer, forward| {
            let to = (Verdict::Deliver(PortId(1)), guest::mac(1), 1500);
            half(key, to, None, peer, forward)
        };
        if key.port().is_from_uplink() {
            let answer = key.reversed_at(PortId(1));
            FlowPair {
                forward: back(key, answer, true),
                reverse: Some(out(answer, key, false)),
            }
        } else {
            let answer = key.reversed_at(PortId(1).from_uplink());
            FlowPair {
                forward: out(key, answer, true),
                reverse: Some(back(answer, key, false)),
            }
        }
    }

    /// The frame as it comes off the wire, from the other host.
    pub(crate) fn wrapped(&self, frame: &[u8]) -> Vec<u8> {
        wrapped(&self.tunnel(), frame)
    }

    /// The frame as it is to go to the wire, to the other host.
    pub(crate) fn wrapped_for_far(&self, frame: &[u8]) -> Vec<u8> {
        let here = self.tunnel();
        let there = VxlanEncap {
            outer_src_mac: here.outer_dst_mac,
            outer_dst_mac: here.outer_src_mac,
            outer_src: here.outer_dst,
            outer_dst: here.outer_src,
            ..here
        };
        wrapped(&there, frame)
    }

    /// The outer headers of what comes from the other host.
    pub(crate) fn tunnel(&self) -> VxlanEncap {
        let [here, there] = providers(self.is_ipv6);
        VxlanEncap {
            outer_src_mac: THERE,
            outer_dst_mac: HERE,
            outer_src: there,
            outer_dst: here,
            vni: vni(),
            src_port: 50_000,
            dst_port: VXLAN_PORT,
            dscp_ecn: 0,
            ttl: 64,
            ip_id: 0,
            dont_fragment: true,
        }
    }
}

/// The frame behind these outer headers.
pub(crate) fn wrapped(tunnel: &VxlanEncap, frame: &[u8]) -> Vec<u8> {
    let mut out = vec![0; frame.len() + tunnel.overhead()];
    assert_eq!(push_vxlan(frame, tunnel, &mut out).unwrap(), out.len());
    out
}

fn half(
    key: FlowKey,
    (verdict, eth_dst, mtu): (Verdict, MacAddr, u16),
    encap: Option<Encap>,
    peer: FlowKey,
    forward: bool,
) -> Half {
    Half {
        key,
        transposition: Transposition {
            verdict,
            eth_dst,
            eth_src: ROUTER,
            decrement_ttl: false,
            mtu,
            encap,
        },
        stamp: Stamp::default(),
        peer: Some(peer),
        forward,
    }
}
