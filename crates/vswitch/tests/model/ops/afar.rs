//! Frames off the uplink, sent to both switches.

use flow::{Encap, PortId, TcpFlags};
use vswitch::{Gso, Outcome};
use wire::compose::{self, Endpoint, Packet};
use wire::icmp_reply::{IcmpError, Responder, icmp_error};
use wire::{L4, MacAddr, Vni};

use super::packets::{ip_of, picked};
use super::{Driver, Shape, Who};
use crate::model::afar::{congested, wrap, wrap_of};
use crate::model::world::{remote_mac, vni};

/// What is in a tunnel, and how it is wrapped.
#[derive(Clone, Debug)]
pub(crate) struct Tunnel {
    pub(crate) what: What,
    pub(crate) wrapping: Wrapping,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    /// Somebody there begins something with a NIC here.
    Fresh {
        from: Who,
        to: usize,
        shape: Shape,
    },
    /// For an address of this host, but to a NIC that may or may not forward.
    Through {
        from: Who,
        to: Who,
        nic: usize,
        shape: Shape,
    },
    /// It says again what came, with other flags.
    Again {
        pick: usize,
        flags: TcpFlags,
    },
    /// Who received a frame there answers it; the answer goes to the NIC that sent, or to the one
    /// that has the address.
    Answer {
        pick: usize,
        flags: TcpFlags,
        straight: bool,
    },
    /// An appliance there sends on what it received, to a NIC here.
    Relay {
        pick: usize,
    },
    /// Who received a frame there complains.
    Complain {
        pick: usize,
    },
    Fragments {
        from: Who,
        to: usize,
        shape: Shape,
        size: u16,
    },
    Raw {
        nic: usize,
        bytes: Vec<u8>,
    },
}

/// What may be wrong with a tunnel's headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wrapping {
    /// In place of the right ones.
    pub(crate) vnet: Option<u8>,
    pub(crate) host: Option<u8>,
    pub(crate) mac: Option<MacAddr>,
    pub(crate) over_v6: bool,
    pub(crate) congested: bool,
    pub(crate) gso: Option<u16>,
    /// A byte that is changed, and how.
    pub(crate) mangled: Option<(usize, u8)>,
}

/// A frame, and the tunnel that it belongs in.
type Inner = (Vec<u8>, Encap);

impl Driver {
    pub(super) fn arrive_all(&mut self, tunnel: &Tunnel) {
        for (whole, gso) in self.wholes(tunnel) {
            self.arrive(&whole, gso);
        }
    }

    /// The frames that come out of the wire.
    pub(crate) fn wholes(&self, tunnel: &Tunnel) -> Vec<(Vec<u8>, Option<Gso>)> {
        let wrapping = &tunnel.wrapping;
        let gso = wrapping.gso.map(|size| Gso { size });
        let inners = self.inners(&tunnel.what).into_iter();
        inners
            .map(|(frame, encap)| (wrapping.wrap(frame, &encap), gso))
            .collect()
    }

    fn arrive(&mut self, whole: &[u8], gso: Option<Gso>) {
        let now = self.bench.now;
        let explained = self.explain_arrival(whole);
        let expected = self.naive.process_uplink(whole, gso, now);
        let got = self.bench.arrive_gso(whole, gso);
        assert_eq!(got.outcome, expected.outcome, "{whole:02x?}");
        assert_eq!((got.owner, &got.inner), (expected.owner, &expected.inner));
        match &expected.frame {
            Some(frame) => assert_eq!(got.shown(), frame, "rewritten wrongly"),
            None => assert_eq!(got.whole, whole, "not sent, and changed all the same"),
        }
        assert_eq!(got.reply.is_some(), expected.replies, "{:?}", got.outcome);
        if let Some((encap, _, reply)) = &got.reply {
            self.naive.count_reply_off(encap, reply.len());
        }
        if let Some(explained) = explained {
            explained.agrees_with(got.outcome);
        }
        if let Outcome::Deliver(port) = got.outcome {
            self.off_uplink += 1;
            self.received.push((port, got.shown().to_vec()));
        }
        self.arrived.push(whole.to_vec());
        self.reached.push(got.outcome);
        self.landed.push(got);
    }

    fn inners(&self, what: &What) -> Vec<Inner> {
        match what {
            What::Fresh { from, to, shape } => {
                let nic = self.port(*to);
                let to = Who::Nic(*to);
                self.compose_afar(*from, to, nic, shape)
                    .into_iter()
                    .collect()
            }
            What::Through {
                from,
                to,
                nic,
                shape,
            } => {
                let nic = self.port(*nic);
                self.compose_afar(*from, *to, nic, shape)
                    .into_iter()
                    .collect()
            }
            What::Again { pick, flags } => self.again_afar(*pick, *flags).into_iter().collect(),
            What::Answer {
                pick,
                flags,
                straight,
            } => self
                .answer_afar(*pick, *flags, *straight)
                .into_iter()
                .collect(),
            What::Relay { pick } => self.relay_afar(*pick).into_iter().collect(),
            What::Complain { pick } => self.complain_afar(*pick).into_iter().collect(),
            What::Fragments {
                from,
                to,
                shape,
                size,
            } => {
                let nic = self.port(*to);
                let whole = self.compose_afar(*from, Who::Nic(*to), nic, shape);
                whole
                    .into_iter()
                    .flat_map(|(frame, encap)| {
                        let id = u32::from(shape.ports.0);
                        let parts = compose::fragments(&frame, id, *size);
                        parts.into_iter().map(move |part| (part, encap))
                    })
                    .collect()
            }
            What::Raw { nic, bytes } => {
                let mut frame = self.mac_of(self.port(*nic)).0.to_vec();
                frame.extend(bytes);
                frame.resize(frame.len().max(14), 0);
                vec![(frame, self.tunnel_to(self.port(*nic)))]
            }
        }
    }

    fn compose_afar(&self, from: Who, to: Who, nic: PortId, shape: &Shape) -> Option<Inner> {
        let src = Endpoint {
            mac: remote_mac(9),
            ip: self.address(from, shape.v6)?,
            port: shape.ports.0,
        };
        let dst = Endpoint {
            mac: self.mac_of(nic),
            ip: self.address(to, shape.v6)?,
            port: shape.ports.1,
        };
        Some((shape.packet(&src, &dst), self.tunnel_to(nic)))
    }

    fn again_afar(&self, pick: usize, flags: TcpFlags) -> Option<Inner> {
        let whole = picked(&self.arrived, pick)?;
        let (outer, inner) = wire::vxlan::pop_vxlan(whole).ok()?;
        let mut frame = whole[inner].to_vec();
        if let Some(ip) = ip_of(&frame)
            && let L4::Tcp { .. } = ip.l4
        {
            frame[ip.l4_offset + 13] = flags.0;
        }
        let encap = Encap {
            outer_src: outer.outer_src,
            outer_dst: outer.outer_dst,
            vni: outer.vni,
            dst_port: 4789,
        };
        Some((frame, encap))
    }

    fn answer_afar(&self, pick: usize, flags: TcpFlags, straight: bool) -> Option<Inner> {
        let (sender, frame, encap) = picked(&self.away, pick)?;
        let ip = ip_of(frame)?;
        let has_it = |port: &PortId| {
            let mut nics = self.bench.world.input.nics.iter();
            nics.any(|nic| nic.port == *port && nic.addresses.contains(&ip.src))
        };
        let ports = self.bench.world.input.nics.iter().map(|nic| nic.port);
        let home = ports.filter(|_| straight).find(has_it);
        let end = |mac, ip, port| Endpoint { mac, ip, port };
        let to = self.mac_of(home.unwrap_or(*sender));
        let turned = |sport, dport| (end(remote_mac(9), ip.dst, dport), end(to, ip.src, sport));
        let answer = match ip.l4 {
            L4::Tcp { sport, dport, .. } => {
                let (src, dst) = turned(sport, dport);
                Packet::new(&src, &dst, b"").tcp(wire::TcpFlags(flags.0), 1, 1)
            }
            L4::Udp { sport, dport } => {
                let (src, dst) = turned(sport, dport);
                compose::udp(&src, &dst, b"an answer")
            }
            L4::IcmpEcho {
                request: true,
                ident,
            } => {
                let (src, dst) = turned(0, 0);
                compose::echo_reply(&src, &dst, ident, b"")
            }
            _ => return None,
        };
        Some((answer, back(encap)))
    }

    fn relay_afar(&self, pick: usize) -> Option<Inner> {
        let (_, frame, encap) = picked(&self.away, pick)?;
        let ip = ip_of(frame)?;
        let mut nics = self.bench.world.input.nics.iter();
        let nic = nics.find(|nic| nic.addresses.contains(&ip.dst))?;
        let mut frame = frame.clone();
        frame[..6].copy_from_slice(&nic.mac);
        let vnet = u8::try_from(nic.vnet.0).expect("few networks");
        let encap = Encap {
            vni: vni(vnet),
            ..back(encap)
        };
        Some((frame, encap))
    }

    fn complain_afar(&self, pick: usize) -> Option<Inner> {
        let (sender, frame, encap) = picked(&self.away, pick)?;
        let ip = ip_of(frame)?;
        let responder = Responder {
            mac: remote_mac(9),
            ip: ip.dst,
        };
        let mut out = [0; 1_500];
        let len = icmp_error(frame, IcmpError::HostUnreachable, responder, &mut out).ok()?;
        out[..6].copy_from_slice(&self.mac_of(*sender).0);
        Some((out[..len].to_vec(), back(encap)))
    }

    /// As a host sends that has the NIC's network.
    fn tunnel_to(&self, nic: PortId) -> Encap {
        let mut nics = self.bench.world.input.nics.iter();
        let nic = nics
            .find(|known| known.port == nic)
            .expect("a NIC of the world");
        let vnet = u8::try_from(nic.vnet.0).expect("few networks");
        back(&crate::model::world::tunnel(9, vnet))
    }
}

fn back(encap: &Encap) -> Encap {
    Encap {
        outer_src: encap.outer_dst,
        outer_dst: encap.outer_src,
        ..*encap
    }
}

impl Wrapping {
    /// As it ought to be.
    pub(crate) const PLAIN: Wrapping = Wrapping {
        vnet: None,
        host: None,
        mac: None,
        over_v6: false,
        congested: false,
        gso: None,
        mangled: None,
    };

    fn wrap(&self, mut frame: Vec<u8>, encap: &Encap) -> Vec<u8> {
        if let Some(mac) = self.mac {
            frame[..6].copy_from_slice(&mac.0);
        }
        let vni = self.vnet.map_or(encap.vni, |vnet| match vnet {
            u8::MAX => Vni::MAX,
            vnet => vni(vnet),
        });
        let mut whole = match (self.host, self.over_v6) {
            (None, false) => wrap(&Encap { vni, ..*encap }, &frame),
            (host, v6) => wrap_of(vni, host.unwrap_or(9), v6, &frame),
        };
        if self.congested {
            whole = congested(whole);
        }
        if let Some((at, xor)) = self.mangled {
            let at = at % whole.len();
            whole[at] ^= xor;
        }
        whole
    }
}
