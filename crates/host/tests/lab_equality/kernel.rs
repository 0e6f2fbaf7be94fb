//! The eBPF engine, its devices, and a clock that agrees with the traces'.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use bpf::{
    BpfEngine, Config, DeviceKind, Hook, Outcome, PortAttachment, PortStats, TestRun, TestVerdict,
    UplinkAttachment,
};
use flow::{
    Counters, DropCounters, DropReason, EngineCounters, FlowEngine, FlowKey, FlowPair, Half,
    InstallError, PortId, PortMode, Refusal, Stamp, TcpFlags, Tick,
};
use policy::Snapshot;
use rustix::time::{ClockId, clock_gettime};
use vswitch::{Gso, PortCounters};
use wire::{Kind, L4, dissect};

use crate::lab::{make_devices, make_uplink};
use crate::model::afar::OWN;
use crate::model::world::{mac, provider};
use crate::segments::Segments;

/// At most so many ports have a world.
const PORTS: u16 = 6;

/// What the program did with a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ran {
    /// It delivered it, rewritten.
    Delivered(PortId, Vec<u8>),
    /// It put it into a tunnel: the frame with its outer headers.
    SentAway(Vec<u8>),
    /// The entry with this key dropped it.
    Dropped(FlowKey),
    /// It belongs to no segment, for this reason.
    Refused(DropReason),
    /// The agent gets it; or it is for the host's own stack, and both switches are given it.
    Exception,
}

/// The engine as the agent has it, save that times are the trace's: the program reads the kernel's
/// clock, so when a flow was last seen is noted here.
pub(crate) struct Kernel {
    engine: BpfEngine,
    pins: PathBuf,
    started: Tick,
    /// The two devices of each port, of which it is on the first or the second.
    devices: Vec<[u32; 2]>,
    exceptions: u32,
    uplink: u32,
    last_seen: HashMap<FlowKey, Tick>,
    /// Mapping slots that are to be zero for the next trace.
    slots: BTreeSet<u32>,
    /// What was counted for each port in earlier traces.
    before: HashMap<PortId, PortStats>,
    /// What the program on the uplink dropped by itself in earlier traces.
    refused_before: DropCounters,
}

impl Kernel {
    /// With devices in the network namespace of the calling thread.
    pub(crate) fn new(pins: &Path) -> Kernel {
        let config = Config {
            pin_dir: pins.to_owned(),
            flows_max: NonZeroU32::new(8_192).unwrap(),
            hook: Hook::Auto,
            exceptions_per_second: u32::MAX,
            resimulations_per_second: u32::MAX,
        };
        let (mut engine, _) = BpfEngine::open(&config).unwrap();
        let [exceptions, _] = make_devices(0);
        engine.set_exception_device(exceptions).unwrap();
        Kernel {
            engine,
            pins: pins.to_owned(),
            started: clock(),
            devices: (1..=PORTS).map(make_devices).collect(),
            exceptions,
            uplink: make_uplink(OWN),
            last_seen: HashMap::new(),
            slots: BTreeSet::new(),
            before: HashMap::new(),
            refused_before: DropCounters::default(),
        }
    }

    /// Leaves nothing of the trace before. Ports stay attached, as to detach one takes the kernel
    /// its time.
    pub(crate) fn reset(&mut self) {
        let mut keys = Vec::new();
        self.engine.dump(&mut |half, _, _| keys.push(half.key));
        self.engine.remove(&keys, &mut Vec::new());
        let zero: Vec<_> = std::mem::take(&mut self.slots)
            .into_iter()
            .map(|slot| (slot, 0))
            .collect();
        self.engine.set_mapping_versions(&zero).unwrap();
        self.engine.poll_events(&mut |_, _| ());
        self.last_seen.clear();
        self.attach_uplink();
        for port in (1..=PORTS).map(PortId).chain([PortId::UPLINK]) {
            self.engine.set_drops_to_agent(port, false).unwrap();
            self.before
                .insert(port, self.engine.port_stats(port).unwrap());
        }
        self.refused_before = self.engine.uplink_drops().unwrap();
    }

    /// Attaches the uplink of the world.
    fn attach_uplink(&mut self) {
        self.engine
            .attach_uplink(UplinkAttachment {
                ifindex: self.uplink,
                address: provider(1),
                vxlan_port: 4_789,
            })
            .unwrap();
    }

    /// Attaches a port, or moves it to its other device. Guests behind TAPs and veths take turns.
    pub(crate) fn attach(&mut self, port: PortId, device: usize) {
        let ifindex = self.devices[usize::from(port.0) - 1][device];
        let kind = if port.0.is_multiple_of(2) {
            DeviceKind::Tap
        } else {
            DeviceKind::Veth
        };
        let mac = mac(u8::try_from(port.0).unwrap());
        let router_mac = vswitch::router_mac();
        self.engine
            .attach(PortAttachment {
                port,
                ifindex,
                kind,
                mac,
                router_mac,
            })
            .unwrap();
    }

    /// Which of its devices a port is attached to.
    pub(crate) fn device(&self, port: PortId) -> Option<usize> {
        let device = self.engine.device(port)?;
        self.devices[usize::from(port.0) - 1]
            .iter()
            .position(|&ifindex| ifindex == device)
    }

    pub(crate) fn set_drops_to_agent(&mut self, port: PortId, on: bool) {
        self.engine.set_drops_to_agent(port, on).unwrap();
    }

    /// Makes stale what is stale under a policy, in the agent's order.
    pub(crate) fn publish(&mut self, policy: &Snapshot, changed: &[(u32, u32)]) {
        self.slots.extend(changed.iter().map(|(slot, _)| slot));
        self.engine.set_mapping_versions(changed).unwrap();
        Segments::of(policy).tell(&mut self.engine).unwrap();
        self.set_generations(policy);
    }

    pub(crate) fn set_generations(&mut self, policy: &Snapshot) {
        let number = policy.generation();
        let all = policy
            .nics()
            .map(|nic| (nic.port, number, nic.path_generation));
        self.engine
            .set_generations(&all.collect::<Vec<_>>())
            .unwrap();
    }

    /// The flows that saw an answer, a FIN or a RST since the last call.
    pub(crate) fn take_events(&mut self) -> Vec<FlowKey> {
        let mut keys = Vec::new();
        self.engine.poll_events(&mut |key, _| keys.push(key));
        keys
    }

    /// Adds what the kernel counted for a port to what the switch did.
    pub(crate) fn count(&self, port: PortId, counters: &mut PortCounters) {
        let (stats, before) = (self.engine.port_stats(port).unwrap(), self.before[&port]);
        let budgets = |stats: PortStats| (stats.rate_limited_packets, stats.stale_forwarded);
        assert_eq!(
            budgets(stats),
            budgets(before),
            "rates are out of a trace's reach"
        );
        counters.from_guest_packets += stats.from_guest_packets - before.from_guest_packets;
        counters.from_guest_bytes += stats.from_guest_bytes - before.from_guest_bytes;
        counters.to_guest_packets += stats.to_guest_packets - before.to_guest_packets;
        counters.to_guest_bytes += stats.to_guest_bytes - before.to_guest_bytes;
    }

    /// What the program on the uplink dropped by itself in this trace.
    pub(crate) fn refused(&self) -> DropCounters {
        let mut all = DropCounters::default();
        for (reason, packets, bytes) in self.engine.uplink_drops().unwrap().iter() {
            let before = &self.refused_before;
            let packets = packets - before.packets(reason);
            if packets > 0 {
                all.add(reason, packets, bytes - before.bytes(reason));
            }
        }
        all
    }

    /// Runs a frame that came off the wire through the program on the uplink; `owner` is the NIC it
    /// is for.
    pub(crate) fn run_uplink(
        &mut self,
        owner: PortId,
        frame: &[u8],
        gso: Option<Gso>,
        now: Tick,
    ) -> Ran {
        if !can_be_run(frame) {
            return Ran::Exception;
        }
        self.engine.heartbeat(clock()).unwrap();
        let size = gso.map_or(0, |gso| gso.size);
        let before = self.refused();
        let ran = self.engine.test_run_uplink_segments(frame, size).unwrap();
        let after = self.refused();
        let more = |reason: &&DropReason| after.packets(**reason) > before.packets(**reason);
        let key = || {
            let (_, inner) = wire::vxlan::pop_vxlan(frame).expect("the program has read it");
            key_of(owner.from_uplink(), &frame[inner])
        };
        match ran {
            TestRun {
                verdict: TestVerdict::Shot,
                outcome: Some(Outcome::Dropped),
                ..
            } if let Some(reason) = DropReason::ALL.iter().find(more) => Ran::Refused(*reason),
            TestRun {
                verdict: TestVerdict::Next,
                outcome: Some(Outcome::NotOurs),
                frame: same,
            } => {
                assert_eq!(same, frame, "the host's stack reads what came");
                Ran::Exception
            }
            ran => self.what_ran(ran, frame, key, now),
        }
    }

    /// Runs a frame through the program. `now` is the trace's time.
    pub(crate) fn run(&mut self, port: PortId, frame: &[u8], gso: Option<Gso>, now: Tick) -> Ran {
        if !can_be_run(frame) {
            return Ran::Exception;
        }
        self.engine.heartbeat(clock()).unwrap();
        let size = gso.map_or(0, |gso| gso.size);
        let device = self
            .engine
            .device(port)
            .expect("ports of a world are attached");
        let ran = self.engine.test_run_segments(device, frame, size).unwrap();
        self.what_ran(ran, frame, || key_of(port, frame), now)
    }

    fn what_ran(
        &mut self,
        ran: TestRun,
        frame: &[u8],
        key: impl Fn() -> FlowKey,
        now: Tick,
    ) -> Ran {
        match ran {
            TestRun {
                verdict: TestVerdict::Redirect { ifindex },
                outcome: Some(Outcome::Delivered),
                frame: rewritten,
            } => {
                self.last_seen.insert(key(), now);
                let mut ports = (1..=PORTS).map(PortId);
                let to = ports.find(|port| self.engine.device(*port) == Some(ifindex));
                Ran::Delivered(to.expect("it goes to a port"), rewritten)
            }
            TestRun {
                verdict: TestVerdict::Redirect { ifindex },
                outcome: Some(Outcome::Uplink),
                frame: whole,
            } => {
                assert_eq!(ifindex, self.uplink);
                self.last_seen.insert(key(), now);
                Ran::SentAway(whole)
            }
            TestRun {
                verdict: TestVerdict::Shot,
                outcome: Some(Outcome::Dropped),
                ..
            } => {
                let key = key();
                self.last_seen.insert(key, now);
                Ran::Dropped(key)
            }
            TestRun {
                verdict,
                outcome: Some(Outcome::Exception),
                frame: same,
            } => {
                assert_eq!(
                    verdict,
                    TestVerdict::Redirect {
                        ifindex: self.exceptions
                    }
                );
                assert_eq!(same, frame, "the agent reads the guest's own bytes");
                Ran::Exception
            }
            other => panic!("{other:?} of {frame:02x?}"),
        }
    }

    fn in_trace_time(&self, counted: &mut EngineCounters) {
        let Counters {
            packets, last_seen, ..
        } = &mut counted.counters;
        if *packets == 0 {
            assert_eq!(*last_seen, Tick(0), "seen, and not counted");
            return;
        }
        // Both clocks tick coarsely.
        assert!(*last_seen <= clock() && last_seen.0 + 100_000_000 >= self.started.0);
        *last_seen = self.last_seen[&counted.key];
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        if let Err(error) = bpf::unload_everything(&self.pins) {
            eprintln!("left behind: {error}");
        }
    }
}

impl FlowEngine for Kernel {
    fn name(&self) -> &'static str {
        self.engine.name()
    }

    fn install(&mut self, pairs: &[FlowPair], refused: &mut Vec<InstallError>) {
        self.engine.install(pairs, refused);
    }

    fn activate(&mut self, keys: &[FlowKey]) {
        self.engine.activate(keys);
    }

    fn remove(&mut self, keys: &[FlowKey], last: &mut Vec<EngineCounters>) {
        let before = last.len();
        self.engine.remove(keys, last);
        last[before..]
            .iter_mut()
            .for_each(|counted| self.in_trace_time(counted));
    }

    fn restamp(&mut self, stamps: &[(FlowKey, Stamp)]) {
        self.engine.restamp(stamps);
    }

    fn note_flags(&mut self, seen: &[(FlowKey, TcpFlags)]) {
        self.engine.note_flags(seen);
    }

    fn read(&mut self, keys: &[FlowKey], counters: &mut Vec<EngineCounters>) {
        let before = counters.len();
        self.engine.read(keys, counters);
        counters[before..]
            .iter_mut()
            .for_each(|counted| self.in_trace_time(counted));
    }

    fn dump(&mut self, visit: &mut dyn FnMut(&Half, &Counters, bool)) {
        self.engine.dump(visit);
    }

    fn set_mode(&mut self, port: PortId, mode: PortMode) -> Result<(), Refusal> {
        self.engine.set_mode(port, mode)
    }
}

/// Whether the kernel's facility takes a frame: one with a whole IP header, or with some payload.
/// What it does not take has no entry.
fn can_be_run(frame: &[u8]) -> bool {
    const ETHERNET_LEN: usize = 14;
    let header_len = match frame.get(12..ETHERNET_LEN) {
        Some([0x08, 0x00]) => 20,
        Some([0x86, 0xdd]) => 40,
        _ => 1,
    };
    frame.len() >= ETHERNET_LEN + header_len
}

/// The key of a frame that the program has executed, so one of those that have a simple one.
pub(crate) fn key_of(port: PortId, frame: &[u8]) -> FlowKey {
    let Ok(Kind::Ip(ip)) = dissect(frame).map(|dissection| dissection.kind) else {
        panic!("the program executed what the switch cannot read: {frame:02x?}");
    };
    let (source, destination) = match ip.l4 {
        L4::Tcp { sport, dport, .. } | L4::Udp { sport, dport } => (sport, dport),
        L4::IcmpEcho { ident, .. } => (ident, u16::from(frame[ip.l4_offset]) << 8),
        L4::Other => (0, 0),
        other => panic!("the program executed {other:?}: {frame:02x?}"),
    };
    FlowKey::new(port, ip.src, ip.dst, ip.proto, source, destination)
}

/// The monotonic clock.
fn clock() -> Tick {
    let time = clock_gettime(ClockId::Monotonic);
    Tick(u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap())
}
