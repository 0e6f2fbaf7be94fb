use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

use bpf::{DeviceKind, PortAttachment};
use flow::PortId;
use wire::MacAddr;
use wire::compose::Endpoint;

use super::{Namespace, PacketSocket, ROUTER};

pub(super) fn ipv4(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, number)
}

pub(super) fn mac(number: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, number])
}

/// A guest in a network namespace, behind a veth pair. Its port has its number.
pub(crate) struct Guest {
    pub(crate) number: u8,
    pub(crate) namespace: Namespace,
    /// The host's end.
    pub(crate) ifindex: u32,
}

impl Guest {
    /// All other addresses of the subnet lead to the virtual router.
    pub(crate) fn new(host: &Namespace, number: u8) -> Guest {
        let namespace = Namespace::new(&format!("guest{number}"));
        let (name, mac) = (&namespace.name, mac(number));
        host.ip(&format!(
            "link add guest{number} type veth peer name eth0 address {mac} netns {name}"
        ));
        host.ip(&format!("link set guest{number} up"));
        let mut lines = vec![
            "link set eth0 up".to_owned(),
            format!("addr add {}/24 dev eth0", ipv4(number)),
        ];
        lines.extend(neighbours(number, ipv4));
        namespace.ip_all(&lines);
        let ifindex = host.ifindex(&format!("guest{number}"));
        Guest {
            number,
            namespace,
            ifindex,
        }
    }

    pub(crate) fn ipv4(&self) -> Ipv4Addr {
        ipv4(self.number)
    }

    /// Guest 3 of another host, as guests of this one know it.
    pub(crate) fn far(port: u16) -> Endpoint {
        Endpoint::new(ROUTER, &ipv4(super::far::FAR_GUEST).to_string(), port)
    }

    /// Gives it its IPv6 address too, with which it begins to send messages of its own.
    pub(crate) fn enable_ipv6(&self) {
        self.namespace.add_ipv6("eth0", self.ipv6().into());
        let lines: Vec<_> = neighbours(self.number, Self::ipv6_of).collect();
        self.namespace.ip_all(&lines);
    }

    pub(crate) fn ipv6(&self) -> Ipv6Addr {
        Self::ipv6_of(self.number)
    }

    pub(crate) fn ipv6_of(number: u8) -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number.into())
    }

    pub(crate) fn attachment(&self) -> PortAttachment {
        PortAttachment {
            port: PortId(self.number.into()),
            ifindex: self.ifindex,
            kind: DeviceKind::Veth,
            mac: mac(self.number),
            router_mac: ROUTER,
        }
    }

    /// A socket that sends and sees frames as they are on the guest's interface.
    pub(crate) fn packet_socket(&self) -> PacketSocket {
        let ifindex = self.namespace.ifindex("eth0");
        self.namespace.run(move || PacketSocket::open(ifindex))
    }

    /// This guest as the sender of a frame.
    pub(crate) fn source(&self, port: u16) -> Endpoint {
        Endpoint::new(mac(self.number), &self.ipv4().to_string(), port)
    }

    /// This guest as the receiver of a frame whose sender knows the router only.
    pub(crate) fn behind_router(&self, port: u16) -> Endpoint {
        Endpoint::new(ROUTER, &self.ipv4().to_string(), port)
    }
}

/// The lines that lead a guest to all others by the virtual router.
fn neighbours<A: Display>(number: u8, address: impl Fn(u8) -> A) -> impl Iterator<Item = String> {
    (1..=3)
        .filter(move |&other| other != number)
        .map(move |other| {
            format!(
                "neigh add {} lladdr {ROUTER} dev eth0 nud permanent",
                address(other)
            )
        })
}

/// A guest behind a TAP device, whose frames the test reads and writes.
pub(crate) struct Tap {
    file: File,
    number: u8,
    ifindex: u32,
}

impl Tap {
    pub(crate) fn new(host: &Namespace, number: u8) -> Tap {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/net/tun")
            .unwrap();
        let name = format!("tap{number}");
        super::socket::make_tap(&file, &name);
        host.ip(&format!("link set {name} up"));
        Tap {
            file,
            number,
            ifindex: host.ifindex(&name),
        }
    }

    pub(crate) fn attachment(&self) -> PortAttachment {
        PortAttachment {
            port: PortId(self.number.into()),
            ifindex: self.ifindex,
            kind: DeviceKind::Tap,
            mac: mac(self.number),
            router_mac: ROUTER,
        }
    }

    /// The guest transmits a frame.
    pub(crate) fn send(&mut self, frame: &[u8]) {
        assert_eq!(self.file.write(frame).unwrap(), frame.len());
    }

    /// The next frame the guest receives from the virtual router.
    pub(crate) fn receive(&mut self) -> Vec<u8> {
        loop {
            let mut frame = vec![0; 2048];
            super::socket::wait_readable(&self.file);
            let length = self.file.read(&mut frame).unwrap();
            frame.truncate(length);
            if frame[6..12] == ROUTER.0 {
                return frame;
            }
        }
    }
}
