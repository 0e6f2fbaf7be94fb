//! Those who want to see dropped frames: `drops --follow`, `capture --drops-only`.

use std::time::SystemTime;

use bpf::BpfEngine;
use flow::{DropReason, PortId};
use tokio::sync::mpsc;

/// Dropped frames that wait for a slow watcher; what comes on top of them is lost to it, and
/// counted.
const WAITING_MAX: usize = 1_024;

/// Watchers at the same time.
const WATCHERS_MAX: usize = 16;

/// Bytes kept of a dropped frame.
const SNAP_LEN: usize = 2_048;

/// A frame that was dropped.
#[derive(Clone, Debug)]
pub(crate) struct DroppedFrame {
    pub(crate) time: SystemTime,
    /// The port it was counted for, marked where it came off the uplink.
    pub(crate) port: PortId,
    pub(crate) reason: DropReason,
    /// The frame's first bytes.
    pub(crate) bytes: Vec<u8>,
    /// Its whole length.
    pub(crate) len: usize,
    /// Frames before this one that the watcher was too slow for.
    pub(crate) missed: u64,
}

struct Watcher {
    /// Only frames of this port.
    port: Option<PortId>,
    frames: mpsc::Sender<DroppedFrame>,
    missed: u64,
}

/// All watchers. While there is one, the engine hands dropped frames up instead of dropping them
/// in place; that is the only cost of watching, and nobody pays it otherwise.
#[derive(Default)]
pub(crate) struct Watchers {
    watchers: Vec<Watcher>,
    covered: Vec<PortId>,
}

impl Watchers {
    /// Starts watching. None when there are too many watchers already.
    pub(crate) fn watch(
        &mut self,
        engine: &mut BpfEngine,
        port: Option<PortId>,
        ports: impl Iterator<Item = PortId>,
    ) -> Option<mpsc::Receiver<DroppedFrame>> {
        self.watchers.retain(|watcher| !watcher.frames.is_closed());
        if self.watchers.len() >= WATCHERS_MAX {
            return None;
        }
        let (frames, receiver) = mpsc::channel(WAITING_MAX);
        self.watchers.push(Watcher {
            port,
            frames,
            missed: 0,
        });
        for port in ports {
            self.cover(engine, port);
        }
        Some(receiver)
    }

    /// A port came, or came back with another device: it is watched too, if anyone watches.
    pub(crate) fn cover(&mut self, engine: &mut BpfEngine, port: PortId) {
        if self.watchers.is_empty() {
            return;
        }
        tell(engine, port, true);
        if !self.covered.contains(&port) {
            self.covered.push(port);
        }
    }

    /// Lets the engine drop in place again when the last watcher has left.
    pub(crate) fn release(&mut self, engine: &mut BpfEngine) {
        self.watchers.retain(|watcher| !watcher.frames.is_closed());
        if self.watchers.is_empty() {
            for port in self.covered.drain(..) {
                tell(engine, port, false);
            }
        }
    }

    /// Tells those who watch `port`; it is marked where the frame came off the uplink. Costs nothing while nobody does.
    pub(crate) fn publish(&mut self, port: PortId, reason: DropReason, frame: &[u8]) {
        for watcher in &mut self.watchers {
            if watcher.port.is_some_and(|wanted| wanted != port.guest()) {
                continue;
            }
            let dropped = DroppedFrame {
                time: SystemTime::now(),
                port,
                reason,
                bytes: frame[..frame.len().min(SNAP_LEN)].to_vec(),
                len: frame.len(),
                missed: watcher.missed,
            };
            match watcher.frames.try_send(dropped) {
                Ok(()) => watcher.missed = 0,
                Err(_) => watcher.missed += 1,
            }
        }
    }
}

/// Whether the engine hands a port's drops up. If it does not do as told, the drops are counted all
/// the same and only not shown.
fn tell(engine: &mut BpfEngine, port: PortId, on: bool) {
    if let Err(error) = engine.set_drops_to_agent(port, on) {
        tracing::warn!(%port, %error, "drops of a port cannot be watched");
    }
}
