//! A switch with the kernel before it.

use std::sync::Arc;

use flow::{DropReason, EngineCounters, FlowEngine, FlowKey, PortId, PortMode, Tick, Timeouts};
use policy::Snapshot;
use vswitch::{FromUplink, Gso, Limits, Outcome, PortCounters, Switch};

use crate::coupling::Coupling;
use crate::kernel::{Kernel, Ran};
use crate::model::afar::{Arrived, push};
use crate::model::bench::Sent;

/// Who executed a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Kernel,
    Switch,
}

/// What the data-plane thread of the agent is, less its sockets.
pub(crate) struct Accelerated<'a> {
    pub(crate) switch: Switch,
    pub(crate) kernel: &'a mut Kernel,
    coupling: Coupling,
    /// What was decided waits for the end of the batch.
    batching: bool,
    /// After each frame the agent reads what the kernel counted, as for one who looks on.
    watched: bool,
}

impl<'a> Accelerated<'a> {
    /// With the policy's ports, all of them attached and accelerated.
    pub(crate) fn new(
        kernel: &'a mut Kernel,
        limits: Limits,
        policy: &Arc<Snapshot>,
    ) -> Accelerated<'a> {
        kernel.reset();
        let versions = policy
            .slot_versions()
            .map(|(slot, version)| (slot.0, version));
        kernel.publish(policy, &versions.collect::<Vec<_>>());
        let switch = Switch::new(limits, Timeouts::default(), Arc::clone(policy), 8);
        let coupling = Coupling::of(&switch);
        let mut this = Accelerated {
            switch,
            kernel,
            coupling,
            batching: false,
            watched: false,
        };
        for nic in policy.nics() {
            this.connect(nic.port, 0, PortMode::Accelerated);
        }
        this.set_uplink(true);
        this.set_kernel_modes(|mode| mode);
        this
    }

    /// The uplink is there, accelerated, or is gone.
    pub(crate) fn set_uplink(&mut self, up: bool) {
        let uplink = PortId::UPLINK;
        if up {
            self.switch.add_port(uplink, PortMode::Accelerated);
            self.set_mode(uplink, PortMode::Accelerated);
            self.set_kernel_modes(|mode| mode);
        } else {
            self.disconnect(uplink);
        }
    }

    pub(crate) fn set_watched(&mut self, watched: bool) {
        self.watched = watched;
    }

    /// The agent has made a guest's device, or found it.
    pub(crate) fn connect(&mut self, port: PortId, device: usize, mode: PortMode) {
        if self
            .kernel
            .device(port)
            .is_none_or(|before| before == device)
        {
            self.kernel.attach(port, device);
        } else {
            let attach = |kernel: &mut Kernel| kernel.attach(port, device);
            self.coupling
                .move_port(&mut self.switch, self.kernel, port, attach);
        }
        self.kernel
            .set_generations(&Arc::clone(self.switch.policy()));
        self.switch.add_port(port, mode);
        self.set_mode(port, mode);
    }

    /// A guest's device is gone.
    pub(crate) fn disconnect(&mut self, port: PortId) {
        self.kernel.set_mode(port, PortMode::Synthetic).unwrap();
        self.switch.set_down(port);
    }

    pub(crate) fn set_mode(&mut self, port: PortId, mode: PortMode) {
        self.kernel.set_mode(port, mode).unwrap();
        self.switch.set_mode(port, mode);
    }

    pub(crate) fn mode(&self, port: PortId) -> PortMode {
        self.switch.port(port).expect("a port of the world").mode
    }

    /// Puts a policy in force.
    pub(crate) fn publish(&mut self, policy: &Arc<Snapshot>) {
        let changed = policy.changed_slots(self.switch.policy());
        let changed: Vec<_> = changed
            .into_iter()
            .map(|(slot, version)| (slot.0, version))
            .collect();
        self.kernel.publish(policy, &changed);
        self.switch.publish(Arc::clone(policy));
        self.set_kernel_modes(|mode| mode);
    }

    /// A guest sends a frame.
    pub(crate) fn send(
        &mut self,
        port: PortId,
        frame: &[u8],
        gso: Option<Gso>,
        now: Tick,
    ) -> (Sent, By) {
        let executed = |outcome, frame: &[u8]| Sent {
            outcome,
            frame: frame.to_vec(),
            reply: None,
        };
        match self.kernel.run(port, frame, gso, now) {
            Ran::Delivered(to, rewritten) => {
                self.look_on(port);
                (executed(Outcome::Deliver(to), &rewritten), By::Kernel)
            }
            Ran::Dropped(key) => {
                self.look_on(port);
                let reason = self.reason_of(&key);
                (executed(Outcome::Dropped(reason), frame), By::Kernel)
            }
            Ran::SentAway(whole) => {
                self.look_on(port);
                (self.sent_away(port, frame, &whole), By::Kernel)
            }
            Ran::Refused(reason) => panic!("{port}: {reason}, off the uplink alone"),
            Ran::Exception => (self.judge(port, frame, gso, now), By::Switch),
        }
    }

    /// A frame comes off the uplink's wire; `owner` is the NIC it is for.
    pub(crate) fn arrive(
        &mut self,
        owner: PortId,
        whole: &[u8],
        gso: Option<Gso>,
        now: Tick,
    ) -> (Arrived, By) {
        let (outcome, shown) = match self.kernel.run_uplink(owner, whole, gso, now) {
            Ran::Exception => return (self.judge_arrival(whole, gso, now), By::Switch),
            Ran::SentAway(_) => panic!("from one host to another, through this one"),
            Ran::Delivered(to, inner) => (Outcome::Deliver(to), Some(inner)),
            Ran::Dropped(key) => (Outcome::Dropped(self.reason_of(&key)), None),
            Ran::Refused(reason) => (Outcome::Dropped(reason), None),
        };
        self.look_on(owner.from_uplink());
        let at = match outcome {
            Outcome::Dropped(_) if owner == PortId::UPLINK => 0..whole.len(),
            _ => wire::vxlan::pop_vxlan(whole).expect("it was read").1,
        };
        let mut whole = whole.to_vec();
        if let Some(shown) = shown {
            whole.splice(at.clone(), shown);
        }
        let arrived = Arrived {
            outcome,
            owner,
            whole,
            inner: at,
            reply: None,
        };
        (arrived, By::Kernel)
    }

    fn judge_arrival(&mut self, whole: &[u8], gso: Option<Gso>, now: Tick) -> Arrived {
        let mut whole = whole.to_vec();
        let FromUplink {
            outcome,
            inner,
            owner,
        } = self.switch.process_uplink(&mut whole, gso, now);
        let reply = self.switch.reply_to_uplink();
        let reply = reply.map(|(encap, port, frame)| (encap, port, frame.to_vec()));
        self.decided();
        Arrived {
            outcome,
            owner,
            whole,
            inner,
            reply,
        }
    }

    /// What the kernel put into a tunnel, as the switch would have said it.
    fn sent_away(&self, port: PortId, frame: &[u8], whole: &[u8]) -> Sent {
        let (outer, inner) = wire::vxlan::pop_vxlan(whole).expect("what was pushed");
        let key = crate::kernel::key_of(port, frame);
        let entry = self.switch.flows().lookup(&key);
        let entry = entry.and_then(|id| self.switch.flows().get(id));
        let transposition = entry.expect("the switch knows it").transposition();
        let encap = transposition.encap.expect("it leads to another host");
        let source_port = outer.src_port;
        let pushed = push(&encap, source_port, &whole[inner.clone()]);
        // The underlay's Ethernet addresses are the kernel's to fill in.
        assert_eq!(whole[12..], pushed[12..], "pushed differently");
        Sent {
            outcome: Outcome::Uplink { encap, source_port },
            frame: whole[inner].to_vec(),
            reply: None,
        }
    }

    fn reason_of(&self, key: &FlowKey) -> DropReason {
        let entry = self.switch.flows().lookup(key);
        let entry = entry.and_then(|id| self.switch.flows().get(id));
        let entry = entry.expect("the switch knows what the kernel executes");
        entry.transposition().drop_reason().expect("it drops")
    }

    fn judge(&mut self, port: PortId, frame: &[u8], gso: Option<Gso>, now: Tick) -> Sent {
        let mut frame = frame.to_vec();
        let outcome = self.switch.process(port, &mut frame, gso, now);
        let reply = self.switch.reply().map(<[u8]>::to_vec);
        self.decided();
        Sent {
            outcome,
            frame,
            reply,
        }
    }

    fn decided(&mut self) {
        if !self.batching {
            self.coupling.install(&mut self.switch, self.kernel);
            // Here the agent sends.
            self.coupling.activate(self.kernel);
        }
    }

    /// From here on what is decided waits for [`Accelerated::end_batch`]. The kernel executes
    /// nothing meanwhile, as it has executed all of a batch it can before the agent reads it.
    pub(crate) fn begin_batch(&mut self) {
        self.batching = true;
        self.set_kernel_modes(|_| PortMode::Synthetic);
    }

    pub(crate) fn end_batch(&mut self) {
        if std::mem::take(&mut self.batching) {
            self.coupling.settle(&mut self.switch, self.kernel);
            self.set_kernel_modes(|mode| mode);
        }
    }

    fn set_kernel_modes(&mut self, of: impl Fn(PortMode) -> PortMode) {
        let policy = Arc::clone(self.switch.policy());
        let nics = policy.nics().map(|nic| nic.port);
        for port in nics.chain([PortId::UPLINK]) {
            let view = self.switch.port(port).expect("a port of the world");
            // A policy without an uplink has the agent take the engine off it.
            let there = port != PortId::UPLINK || policy.uplink().is_some();
            let mode = if view.up && there {
                of(view.mode)
            } else {
                PortMode::Synthetic
            };
            self.kernel.set_mode(port, mode).unwrap();
        }
    }

    /// Answers, FIN and RST that the kernel saw.
    pub(crate) fn take_events(&mut self) {
        let keys = self.kernel.take_events();
        self.observe(&keys);
    }

    /// Whether the agent is behind with exceptions.
    pub(crate) fn set_busy(&mut self, busy: bool) {
        self.coupling.set_busy(busy);
    }

    /// Somebody asks for all flows.
    pub(crate) fn read_flows(&mut self) {
        let keys: Vec<FlowKey> = self
            .switch
            .flows()
            .iter()
            .map(|entry| *entry.key())
            .collect();
        self.observe(&keys);
    }

    /// Forgets what is idle.
    pub(crate) fn sweep(&mut self, now: Tick) {
        self.take_events();
        let kernel = &mut *self.kernel;
        let mut found = Vec::with_capacity(1);
        let mut confirm = |key: &FlowKey| {
            found.clear();
            kernel.read(std::slice::from_ref(key), &mut found);
            found
                .first()
                .map(|counted: &EngineCounters| counted.counters)
        };
        while !self.switch.sweep(now, &mut confirm) {}
        self.coupling.settle(&mut self.switch, self.kernel);
    }

    /// What the agent reports of a port: what was counted on both paths.
    pub(crate) fn counters(&mut self, port: PortId) -> PortCounters {
        let view = self.switch.port(port).expect("a port of the world");
        let mut counters = view.counters.clone();
        counters
            .drops
            .merge(&self.coupling.drops(self.kernel, port));
        self.kernel.count(port, &mut counters);
        if port == PortId::UPLINK {
            counters.drops.merge(&self.kernel.refused());
        }
        counters
    }

    fn look_on(&mut self, port: PortId) {
        if self.watched {
            let entries = self
                .switch
                .flows()
                .iter()
                .filter(|entry| entry.key().port() == port);
            let keys: Vec<FlowKey> = entries.map(|entry| *entry.key()).collect();
            self.observe(&keys);
        }
    }

    fn observe(&mut self, keys: &[FlowKey]) {
        let mut readings = Vec::with_capacity(keys.len());
        self.kernel.read(keys, &mut readings);
        for reading in &readings {
            self.switch.observe(reading);
        }
    }
}
