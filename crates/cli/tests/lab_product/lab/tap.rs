use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use netdev::tap::{Tap, TapHeader, TapOptions};
use netdev::{LinkName, VNET_HEADER_LEN};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wire::arp::{ArpRepr, ArpView};
use wire::compose::{self, Endpoint};
use wire::ethernet::HEADER_LEN as ETHERNET_LEN;
use wire::virtio_net::{HeaderForm, VirtioNetHeader, finish_checksum};
use wire::{IpPacket, Kind, MacAddr, dissect};

use super::{Lab, PATIENCE, eventually, mac_of};

/// A guest without a kernel: its TAP is open here, as a VMM has it open.
pub(crate) struct TapGuest {
    tap: Tap,
    me: Endpoint,
}

impl TapGuest {
    /// Opens the TAP of a NIC.
    pub(crate) fn open(lab: &Lab, nic: &str) -> TapGuest {
        let nic = lab.nic(nic);
        let device = nic.device.expect("the NIC has a device");
        let options = TapOptions {
            name: LinkName::new(&device).unwrap(),
            multi_queue: false,
            header: TapHeader::Short,
            persist: false,
            owner: None,
        };
        let ip = nic
            .addresses
            .iter()
            .find(|ip| ip.is_ipv4())
            .unwrap()
            .to_string();
        let tap = Tap::open(&options).unwrap();
        // What is sent to it before the kernel has noticed the carrier is lost.
        let state = format!("/sys/class/net/{device}/operstate");
        eventually("the TAP has a carrier", || {
            (std::fs::read_to_string(&state).unwrap().trim() == "up").then_some(())
        });
        TapGuest {
            tap,
            me: Endpoint::new(mac_of(&nic.mac), &ip, 0),
        }
    }

    /// This guest as the sender of a packet.
    pub(crate) fn source(&self, port: u16) -> Endpoint {
        Endpoint { port, ..self.me }
    }

    /// Who has an address, as ARP says.
    pub(crate) fn resolve(&self, address: Ipv4Addr) -> MacAddr {
        self.send(
            &[0; VNET_HEADER_LEN],
            &compose::arp_request(&self.me, address),
        );
        let reply = self.receive(|frame| {
            let arp = frame.get(ETHERNET_LEN..)?;
            dissect(frame)
                .ok()
                .filter(|frame| frame.kind == Kind::Arp)?;
            let reply = ArpRepr::parse(ArpView::new(arp).ok()?).ok()?;
            (reply.sender_ip == address).then_some(reply)
        });
        assert_eq!(IpAddr::V4(reply.target_ip), self.me.ip);
        reply.sender_mac
    }

    /// Sends a frame with a virtio-net header before it.
    pub(crate) fn send(&self, header: &[u8; VNET_HEADER_LEN], frame: &[u8]) {
        let sent = self.tap.write_frame(&[header, frame]).unwrap();
        assert_eq!(sent, VNET_HEADER_LEN + frame.len());
    }

    /// The next IP packet for this guest of which `pick` makes something. Its checksums are full.
    pub(crate) fn receive_ip<T>(&self, pick: impl Fn(&IpPacket, &[u8]) -> Option<T>) -> T {
        self.receive(|frame| {
            let Kind::Ip(ip) = dissect(frame).ok()?.kind else {
                return None;
            };
            if ip.dst == self.me.ip {
                pick(&ip, frame)
            } else {
                None
            }
        })
    }

    fn receive<T>(&self, pick: impl Fn(&[u8]) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = vec![0; 70_000];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).unwrap();
            let mut fds = [PollFd::new(&self.tap, PollFlags::IN)];
            assert_eq!(poll(&mut fds, Some(&timeout)), Ok(1), "no such frame came");
            let len = match self.tap.read_frame(&mut buffer) {
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => panic!("{error}"),
            };
            let (header, frame) = buffer[..len].split_at_mut(VNET_HEADER_LEN);
            let header = VirtioNetHeader::parse(header, HeaderForm::Short).unwrap();
            finish_checksum(frame, &header).unwrap();
            if let Some(picked) = pick(frame) {
                return picked;
            }
        }
    }
}
