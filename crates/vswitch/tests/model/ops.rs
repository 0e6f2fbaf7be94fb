//! What happens in a random trace, and its doing: to the switch and to the naive one.

mod afar;
mod edits;
mod explained;
mod packets;

use std::time::Duration;

use flow::{Encap, PortId, TcpFlags};
use vswitch::{Gso, Outcome, PortCounters};
use wire::MacAddr;

pub(crate) use self::afar::{Tunnel, What as Inside, Wrapping};
pub(crate) use self::edits::{Edit, Place};
pub(crate) use self::packets::{Odd, Order, Shape, What, Who};
use super::afar::Arrived;
use super::bench::{Bench, ROOMY};
use super::naive_switch::NaiveSwitch;
use super::strategies::WorldPlan;

#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// A guest begins something, or what looks like it.
    Fresh {
        from: usize,
        to: Who,
        shape: Shape,
    },
    /// It says it again, with other TCP flags.
    Again {
        pick: usize,
        flags: TcpFlags,
    },
    /// Who received a frame answers it.
    Answer {
        pick: usize,
        flags: TcpFlags,
    },
    /// Who received a frame passes it on, as appliances do.
    Relay {
        pick: usize,
    },
    /// Who received a frame complains about it.
    Complain {
        pick: usize,
    },
    /// Somebody complains about a frame that was sent, received or not.
    ComplainWithoutCause {
        from: usize,
        pick: usize,
    },
    Fragments {
        from: usize,
        to: Who,
        shape: Shape,
        size: u16,
        order: Order,
    },
    Arp {
        from: usize,
        sender: Option<Who>,
        target: Who,
        probing: bool,
        reply: bool,
    },
    Solicit {
        from: usize,
        sender: Option<Who>,
        target: Who,
        probing: bool,
    },
    /// A frame with one byte changed, and cut.
    Mangled {
        from: usize,
        to: Who,
        shape: Shape,
        at: usize,
        xor: u8,
        cut: usize,
    },
    Odd {
        from: usize,
        odd: Odd,
    },
    Raw {
        from: usize,
        bytes: Vec<u8>,
    },
    /// What another host puts into a tunnel to this one.
    Afar(Tunnel),
    Edit(Edit),
    SetUp {
        nic: usize,
        up: bool,
    },
    SetUplink(bool),
    Pass(Duration),
    Sweep,
}

/// Both switches, and what was sent through them.
pub(crate) struct Driver {
    pub(crate) bench: Bench,
    pub(crate) naive: NaiveSwitch,
    /// By whom, and how it was sent.
    sent: Vec<(PortId, Vec<u8>)>,
    /// By whom, and how it was received.
    pub(crate) received: Vec<(PortId, Vec<u8>)>,
    /// What went to other hosts: from which port, how, and in which tunnel.
    pub(crate) away: Vec<(PortId, Vec<u8>, Encap)>,
    /// What came from other hosts, with outer headers.
    arrived: Vec<Vec<u8>>,
    /// And what became of it.
    pub(crate) landed: Vec<Arrived>,
    /// What was reached, for those who want to know whether traces go anywhere.
    pub(crate) reached: Vec<Outcome>,
    /// How many frames off the uplink were delivered.
    pub(crate) off_uplink: u32,
}

impl Driver {
    pub(crate) fn new(plan: &WorldPlan) -> Driver {
        let bench = Bench::with_limits(plan.build(), ROOMY);
        let naive = NaiveSwitch::new(&bench.world.input);
        let (sent, received) = (Vec::new(), Vec::new());
        Driver {
            bench,
            naive,
            sent,
            received,
            away: Vec::new(),
            arrived: Vec::new(),
            landed: Vec::new(),
            reached: Vec::new(),
            off_uplink: 0,
        }
    }

    pub(crate) fn step(&mut self, op: &Op) {
        match op {
            Op::Edit(edit) => self.edit(edit),
            Op::SetUp { nic, up } => {
                let port = self.port(*nic);
                self.naive.set_up(port, *up);
                match up {
                    true => self.bench.switch.add_port(port, flow::PortMode::Synthetic),
                    false => self.bench.switch.set_down(port),
                }
            }
            Op::SetUplink(up) => {
                self.naive.set_up(PortId::UPLINK, *up);
                match up {
                    true => {
                        let mode = flow::PortMode::Synthetic;
                        self.bench.switch.add_port(PortId::UPLINK, mode);
                    }
                    false => self.bench.switch.set_down(PortId::UPLINK),
                }
            }
            Op::Afar(tunnel) => self.arrive_all(tunnel),
            Op::Pass(time) => self.bench.pass(*time),
            Op::Sweep => self.sweep(),
            packet => self.send_all(packet),
        }
    }

    /// What is left must be the same, too.
    pub(crate) fn finish(&mut self) {
        self.naive.compare_flows(self.bench.switch.flows());
        let nics = self.bench.world.input.nics.iter().map(|nic| nic.port);
        for port in nics.chain([PortId::UPLINK]) {
            let view = self.bench.switch.port(port).expect("a port of the world");
            assert_eq!(view.counters, self.naive.counters(port), "{port}");
        }
        // Twice, as what was active is queued again once.
        for _ in 0..2 {
            self.bench.pass(Duration::from_secs(20_000));
            self.sweep();
        }
        assert!(
            self.bench.switch.flows().is_empty(),
            "a flow that never ends"
        );
    }

    /// A counter of all ports.
    pub(crate) fn sum(&self, counter: fn(&PortCounters) -> u64) -> u64 {
        let nics = self.bench.world.input.nics.iter();
        nics.map(|nic| nic.port)
            .chain([PortId::UPLINK])
            .map(|port| counter(self.naive.counters(port)))
            .sum()
    }

    fn sweep(&mut self) {
        self.bench.sweep();
        let flows = self.bench.switch.flows();
        self.naive.forget_what_expired(flows, self.bench.now);
        self.naive.compare_flows(flows);
        assert_eq!(
            self.bench.switch.fragments_len(),
            self.naive.fragments_len()
        );
    }

    fn send_all(&mut self, op: &Op) {
        let frames = self.frames(op);
        // Now and then, so that what was seen ahead is used at once, later, or not at all.
        if self.sent.len().is_multiple_of(2) {
            let ahead = frames.iter().map(|(port, frame, _)| (*port, &frame[..]));
            self.bench.switch.look_ahead(ahead);
        }
        for (port, frame, gso) in frames {
            self.send(port, &frame, gso);
        }
    }

    fn send(&mut self, port: PortId, frame: &[u8], gso: Option<Gso>) {
        let explained = self.explain(port, frame);
        let expected = self.naive.process(port, frame, gso, self.bench.now);
        let got = self.bench.send_gso(port, frame, gso);
        assert_eq!(got.outcome, expected.outcome, "{port}: {frame:02x?}");
        match expected.frame {
            Some(expected) => assert_eq!(got.frame, expected, "rewritten wrongly"),
            None => assert_eq!(got.frame, frame, "not sent, and changed all the same"),
        }
        assert_eq!(
            got.reply.is_some(),
            expected.replies,
            "{:?} of {frame:02x?}",
            got.outcome
        );
        if let Some(reply) = &got.reply {
            self.naive.count_reply(port, reply.len());
        }
        if let Some(explained) = explained {
            explained.agrees_with(got.outcome);
        }
        match got.outcome {
            Outcome::Deliver(receiver) => self.received.push((receiver, got.frame)),
            Outcome::Uplink { encap, .. } => self.away.push((port, got.frame, encap)),
            Outcome::Answered | Outcome::Dropped(_) => {}
        }
        self.sent.push((port, frame.to_vec()));
        self.reached.push(got.outcome);
    }

    fn port(&self, nic: usize) -> PortId {
        let nics = &self.bench.world.input.nics;
        nics[nic % nics.len()].port
    }

    fn mac_of(&self, port: PortId) -> MacAddr {
        let mut nics = self.bench.world.input.nics.iter();
        MacAddr(
            nics.find(|nic| nic.port == port)
                .expect("a NIC of the world")
                .mac,
        )
    }
}
