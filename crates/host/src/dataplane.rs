//! The data-plane thread: the one owner of switch, engine and sockets.
//!
//! Exceptions come up on one device, tagged with their port; they are judged, installed and sent on
//! in batches. Everything else that wants to touch the switch is a [`Command`] run between two
//! batches on this thread, so nothing here is locked. Work per turn is bounded in both directions:
//! frames do not starve commands, commands do not starve frames.

mod batch;
mod coupling;
mod handle;
mod lost;
mod observe;
mod offload;
mod turn;
mod uplink;
mod urgency;
mod watch;

use std::time::Duration;

use bpf::{AttachError, BpfEngine, PortAttachment};
use flow::{EngineCounters, FlowEngine, FlowKey, PortId, PortMode, Refusal, Tick};
use netdev::send::{FrameSender, SendBatch};
use vswitch::Switch;

use coupling::Coupling;
use lost::Lost;
use uplink::Underlay;
use urgency::Urgency;

pub(crate) use handle::{Gone, Handle, start};
pub(crate) use observe::{FlowsQuery, PortReport};
pub(crate) use watch::DroppedFrame;
use watch::Watchers;

/// Frames taken from the kernel at once.
const BATCH_FRAMES: usize = 64;

/// Bytes of a send batch: some dozen super-segments.
const BATCH_BYTES: usize = 4 << 20;

/// How often the engine is told that the agent lives. It takes the agent for dead after a second.
const HEARTBEAT_EVERY: Duration = Duration::from_millis(200);

/// How often events of the engine are taken at most: a batch of them costs little more than one, and
/// each time they are taken the thread has to be woken.
const EVENTS_EVERY: Duration = Duration::from_millis(1);

/// How often flows are aged.
const SWEEP_EVERY: Duration = Duration::from_millis(500);

/// Work for the data-plane thread, between two batches.
pub(crate) type Command = Box<dyn FnOnce(&mut DataPlane) + Send>;

/// Everything the thread owns.
pub(crate) struct DataPlane {
    pub(crate) switch: Switch,
    pub(crate) engine: BpfEngine,
    sender: FrameSender,
    batch: SendBatch,
    /// The port that sent each frame of the batch, to count what the kernel refuses.
    batch_senders: Vec<PortId>,
    underlay: Underlay,
    /// The interface index of each port's device; zero where none is attached.
    links: Vec<u32>,
    coupling: Coupling,
    scratch: Scratch,
    watchers: Watchers,
    lost: Lost,
    urgency: Urgency,
    next_heartbeat: Tick,
    next_sweep: Tick,
    /// Until when events wait.
    next_events: Tick,
    stopping: bool,
}

/// What is read off the engine's events; kept, so that reading allocates nothing.
#[derive(Default)]
struct Scratch {
    last: Vec<EngineCounters>,
    keys: Vec<FlowKey>,
}

impl DataPlane {
    pub(crate) fn new(switch: Switch, engine: BpfEngine, sender: FrameSender) -> DataPlane {
        DataPlane {
            coupling: Coupling::of(&switch),
            switch,
            engine,
            sender,
            batch: SendBatch::with_capacity(BATCH_FRAMES, BATCH_BYTES),
            batch_senders: Vec::with_capacity(BATCH_FRAMES),
            underlay: Underlay::new(),
            links: vec![0; usize::from(batch::PORT_BITS) + 1],
            scratch: Scratch::default(),
            watchers: Watchers::default(),
            lost: Lost::default(),
            urgency: Urgency::default(),
            next_heartbeat: Tick::default(),
            next_sweep: Tick::default(),
            next_events: Tick::default(),
            stopping: false,
        }
    }

    /// Frames the receiver takes at once; what the receiver is made with.
    pub(crate) const fn batch_frames() -> usize {
        BATCH_FRAMES
    }

    /// Gives a port its device. Where it had another, its flows move over.
    pub(crate) fn attach(&mut self, attachment: PortAttachment) -> Result<(), AttachError> {
        let PortAttachment { port, ifindex, .. } = attachment;
        if self
            .engine
            .device(port)
            .is_none_or(|device| device == ifindex)
        {
            return self.engine.attach(attachment);
        }
        let attach = |engine: &mut BpfEngine| engine.attach(attachment);
        self.coupling
            .move_port(&mut self.switch, &mut self.engine, port, attach)
    }

    /// A device is there for the port.
    pub(crate) fn connect(&mut self, port: PortId, link: u32, mode: PortMode) {
        self.links[usize::from(port.0)] = link;
        self.switch.add_port(port, mode);
        self.watchers.cover(&mut self.engine, port);
    }

    /// The port's device is gone; its flows are kept. The engine is to deliver nothing to where it
    /// was: what becomes of frames for it is the switch's to say and to count.
    pub(crate) fn disconnect(&mut self, port: PortId) {
        self.links[usize::from(port.0)] = 0;
        if let Err(error) = self.engine.set_mode(port, PortMode::Synthetic)
            && error != Refusal::NoDevice
        {
            tracing::warn!(%port, %error, "the engine goes on delivering to a port that is down");
        }
        self.switch.set_down(port);
    }

    /// The port is gone, and its flows with it.
    pub(crate) fn remove(&mut self, port: PortId) {
        self.links[usize::from(port.0)] = 0;
        self.switch.remove_port(port);
        self.settle_engine();
    }

    /// Moves a port between the paths. The engine comes first when it is to take over and last
    /// when it is to let go; either way each frame finds one of the two that serves it.
    pub(crate) fn set_mode(&mut self, port: PortId, mode: PortMode) -> Result<(), Refusal> {
        self.engine.set_mode(port, mode)?;
        self.switch.set_mode(port, mode);
        Ok(())
    }

    /// Ends the thread after the present turn.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
    }
}
