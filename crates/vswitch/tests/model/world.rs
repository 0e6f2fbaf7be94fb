//! Worlds: virtual networks, NICs, routes and mappings, in a few words.
//!
//! NIC `n` of network `v` has 10.v.0.n, fd00:v::n and an address of Ethernet that says the same.
//! Network `v` has VNI 5000 + `v`. This host's provider address is 192.0.2.1; host `h` has
//! 192.0.2.`h`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use flow::{Encap, PortId};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use policy::input::{
    MappingInput, MappingTarget, NextHop, NicInput, PolicyInput, RouteInput, RouteSource,
    RouteTableInput, RuleSetInput, SegmentInput, UplinkInput, VnetId,
};
use wire::compose::Endpoint;
use wire::{MacAddr, Vni};

/// A policy in the making.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) input: PolicyInput,
}

/// An underlay of 1,500 bytes, with room for another tunnel's headers of IPv4.
pub(crate) const UPLINK: UplinkInput = UplinkInput { mtu: 1_450 };

impl Default for World {
    /// Nothing but an uplink.
    fn default() -> World {
        World {
            input: PolicyInput {
                uplink: Some(UPLINK),
                ..PolicyInput::default()
            },
        }
    }
}

pub(crate) fn vni(vnet: u8) -> Vni {
    Vni::new(5_000 + u32::from(vnet)).expect("24 bits")
}

/// The provider address of a host.
pub(crate) fn provider(host: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, host).into()
}

/// How this host reaches another.
pub(crate) fn tunnel(host: u8, vnet: u8) -> Encap {
    Encap {
        outer_src: provider(1),
        outer_dst: provider(host),
        vni: vni(vnet),
        dst_port: 4789,
    }
}

/// The Ethernet address of the NIC behind a remote mapping.
pub(crate) fn remote_mac(host: u8) -> MacAddr {
    MacAddr([2, 1, 0, 0, 0, host])
}

pub(crate) fn v4(vnet: u8, third: u8, last: u8) -> IpAddr {
    Ipv4Addr::new(10, vnet, third, last).into()
}

pub(crate) fn v6(vnet: u8, third: u8, last: u8) -> IpAddr {
    Ipv6Addr::new(0xfd00, vnet.into(), 0, 0, 0, 0, third.into(), last.into()).into()
}

pub(crate) fn mac(port: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, port])
}

pub(crate) fn net(text: &str) -> IpNet {
    text.parse()
        .expect("tests write prefixes as they are written")
}

/// All addresses of a network, in both families.
pub(crate) fn vnet_prefixes(vnet: u8) -> [IpNet; 2] {
    let v4 = Ipv4Net::new(Ipv4Addr::new(10, vnet, 0, 0), 16).expect("a length up to 32");
    let v6 = Ipv6Addr::new(0xfd00, vnet.into(), 0, 0, 0, 0, 0, 0);
    [
        v4.into(),
        Ipv6Net::new(v6, 32).expect("a length up to 128").into(),
    ]
}

pub(crate) fn route(prefix: IpNet, source: RouteSource, next_hop: NextHop) -> RouteInput {
    let name = format!("{prefix}-{source:?}");
    RouteInput {
        name,
        prefix,
        source,
        next_hop,
    }
}

/// What every subnet of a network has: the network itself, and the Internet.
pub(crate) fn system_routes(vnet: u8) -> Vec<RouteInput> {
    let local = NextHop::Vnet(VnetId(vnet.into()));
    let mut routes = vnet_prefixes(vnet)
        .map(|net| route(net, RouteSource::System, local))
        .to_vec();
    let all = ["0.0.0.0/0", "::/0"].map(net);
    routes.extend(all.map(|net| route(net, RouteSource::System, NextHop::Internet)));
    routes
}

/// Where a remote NIC is.
pub(crate) fn remote(host: u8, vnet: u8) -> MappingTarget {
    MappingTarget::Remote {
        mac: remote_mac(host).0,
        encap: tunnel(host, vnet),
        vni_of_sender: false,
    }
}

/// The same, reached with the VNI of the sender's network.
pub(crate) fn remote_by_sender(host: u8, vnet: u8) -> MappingTarget {
    MappingTarget::Remote {
        mac: remote_mac(host).0,
        encap: tunnel(host, vnet),
        vni_of_sender: true,
    }
}

impl World {
    /// A NIC in each of the networks, numbered from one, of which all accept everything.
    pub(crate) fn of(vnets: &[u8]) -> World {
        let mut world = World::default();
        for (port, &vnet) in (1..).zip(vnets) {
            world.add_nic(port, vnet);
        }
        world
    }

    /// A NIC without groups.
    pub(crate) fn add_nic(&mut self, port: u8, vnet: u8) -> &mut NicInput {
        let id = PortId(port.into());
        self.receive_off_uplink(vnet);
        let addresses = vec![v4(vnet, 0, port), v6(vnet, 0, port)];
        for &address in &addresses {
            self.map(vnet, address, Some(MappingTarget::Port(id)));
        }
        self.input.nics.push(NicInput {
            subnets: Vec::new(),
            primary: true,
            dns_servers: Vec::new(),
            vni: vni(vnet),
            port: id,
            name: format!("nic{port}"),
            addresses,
            mac: mac(port).0,
            vnet: VnetId(vnet.into()),
            gateways: Vec::new(),
            ip_forwarding: false,
            decrement_ttl: false,
            mtu: 1_500,
            path_generation: 1,
            reevaluate_generation: 0,
            outbound: Vec::new(),
            inbound: Vec::new(),
            routes: Arc::new(RouteTableInput {
                name: format!("routes{port}"),
                routes: system_routes(vnet),
            }),
        });
        self.input.nics.last_mut().expect("just pushed")
    }

    /// What may come off the uplink with the VNI of this network.
    pub(crate) fn receive_off_uplink(&mut self, vnet: u8) -> &mut Vec<VnetId> {
        let segments = &mut self.input.segments;
        let known = segments.iter().position(|segment| segment.vni == vni(vnet));
        let index = known.unwrap_or_else(|| {
            let vnets = vec![VnetId(vnet.into())];
            segments.push(SegmentInput {
                vni: vni(vnet),
                vnets,
            });
            segments.len() - 1
        });
        &mut segments[index].vnets
    }

    pub(crate) fn nic(&mut self, port: u8) -> &mut NicInput {
        let found = self
            .input
            .nics
            .iter_mut()
            .find(|nic| nic.port == PortId(port.into()));
        found.expect("tests name NICs of their world")
    }

    /// One end of a conversation, of IPv4.
    pub(crate) fn end(&self, port: u8, l4_port: u16) -> Endpoint {
        self.end_of(port, 0, l4_port)
    }

    /// The same of IPv6.
    pub(crate) fn end6(&self, port: u8, l4_port: u16) -> Endpoint {
        self.end_of(port, 1, l4_port)
    }

    fn end_of(&self, port: u8, family: usize, l4_port: u16) -> Endpoint {
        let nic = self
            .input
            .nics
            .iter()
            .find(|nic| nic.port == PortId(port.into()));
        let nic = nic.expect("tests name NICs of their world");
        Endpoint {
            mac: MacAddr(nic.mac),
            ip: nic.addresses[family],
            port: l4_port,
        }
    }

    /// Where an address is from now on.
    pub(crate) fn map(&mut self, vnet: u8, address: IpAddr, target: Option<MappingTarget>) {
        let vnet = VnetId(vnet.into());
        self.input
            .mappings
            .retain(|known| (known.vnet, known.address) != (vnet, address));
        self.input
            .mappings
            .extend(target.map(|target| MappingInput {
                vnet,
                address,
                target,
            }));
    }

    /// Adds user routes to a NIC's subnet, before the others.
    pub(crate) fn add_route(&mut self, port: u8, prefix: &str, next_hop: NextHop) {
        let added = route(net(prefix), RouteSource::User, next_hop);
        self.change_routes(port, |routes| routes.insert(0, added));
    }

    /// Takes the user routes away again.
    pub(crate) fn clear_user_routes(&mut self, port: u8) {
        self.change_routes(port, |routes| {
            routes.retain(|route| route.source != RouteSource::User)
        });
    }

    pub(crate) fn change_routes(&mut self, port: u8, change: impl FnOnce(&mut Vec<RouteInput>)) {
        let next = self.input.generation + 1;
        let nic = self.nic(port);
        let mut table = (*nic.routes).clone();
        change(&mut table.routes);
        nic.routes = Arc::new(table);
        nic.path_generation = next;
    }

    /// What the NIC sends passes these sets, in place of those it had.
    pub(crate) fn set_outbound(&mut self, port: u8, sets: Vec<RuleSetInput>) {
        self.nic(port).outbound = sets.into_iter().map(Arc::new).collect();
    }

    /// What the NIC receives passes these sets, in place of those it had.
    pub(crate) fn set_inbound(&mut self, port: u8, sets: Vec<RuleSetInput>) {
        self.nic(port).inbound = sets.into_iter().map(Arc::new).collect();
    }

    /// Whatever changed, established flows have to follow it.
    pub(crate) fn advance_paths(&mut self) {
        let next = self.input.generation + 1;
        self.input
            .nics
            .iter_mut()
            .for_each(|nic| nic.path_generation = next);
    }

    /// Asks for re-evaluation, as the control plane does: of all NICs at once.
    pub(crate) fn reevaluate(&mut self) {
        self.advance_paths();
        let next = self.input.generation + 1;
        self.input
            .nics
            .iter_mut()
            .for_each(|nic| nic.reevaluate_generation = next);
    }
}
