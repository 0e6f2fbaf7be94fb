use flow::{DropReason, PortId, Tick};
use netdev::receive::FrameMut;
use netdev::receive::FrameReceiver;
use netdev::send::PushError;
use netdev::{VNET_HEADER_LEN, VnetHeader};
use vswitch::Outcome;

use super::uplink::Departure;
use super::{BATCH_FRAMES, DataPlane, offload};
use crate::clock;

/// The bits of a VLAN tag that hold the port (IEEE 802.1Q, 9.6).
pub(super) const PORT_BITS: u16 = 0x0fff;

impl DataPlane {
    /// Takes a batch of exceptions from the kernel and sends them on. False when there was none.
    pub(super) fn receive_batch(&mut self, receiver: &mut FrameReceiver) -> bool {
        match receiver.recv_batch() {
            Ok(0) => return false,
            Ok(received) => self.coupling.set_busy(received >= BATCH_FRAMES),
            Err(error) => {
                // The kernel tells once, and the receiver goes on when the device is up again.
                tracing::warn!(%error, "exceptions do not come up");
                return false;
            }
        }
        let now = clock::now();
        self.look_ahead(receiver);
        for frame in receiver.frames_mut() {
            // Without a tag it was not the engine that put it there.
            let Some(tag) = frame.vlan_tci else { continue };
            match PortId(tag & PORT_BITS) {
                PortId::UPLINK => self.take_from_uplink(frame, now),
                port => self.take_from_guest(port, frame, now),
            }
        }
        self.flush();
        true
    }

    /// Brings near what the frames' flows need. A batch that is half of guests and half off the
    /// uplink is looked at as what it begins with.
    fn look_ahead(&mut self, receiver: &FrameReceiver) {
        let port_of = |tag: Option<u16>| PortId(tag.unwrap_or_default() & PORT_BITS);
        let frames = || receiver.frames();
        let first = frames().next().map(|frame| port_of(frame.vlan_tci));
        if first == Some(PortId::UPLINK) {
            self.switch
                .look_ahead_uplink(frames().map(|frame| frame.bytes));
        } else {
            let frames = frames().map(|frame| (port_of(frame.vlan_tci), frame.bytes));
            self.switch.look_ahead(frames);
        }
    }

    /// Judges a frame that a guest sent, and sends it on.
    fn take_from_guest(&mut self, port: PortId, frame: FrameMut<'_>, now: Tick) {
        let FrameMut { vnet, bytes, .. } = frame;
        let offload = match offload::checked(&vnet, bytes) {
            Ok(offload) => offload,
            Err(reason) => {
                self.switch.count_drop(port, reason, bytes.len());
                return self.watchers.publish(port, reason, bytes);
            }
        };
        let gso = offload::gso_of(&vnet);
        match self.switch.process(port, bytes, gso, now) {
            Outcome::Deliver(to) => {
                let link = self.links[usize::from(to.0)];
                self.enqueue(port, link, &vnet, bytes);
            }
            Outcome::Uplink { encap, source_port } => self.depart(Departure {
                sender: port,
                encap: &encap,
                source_port,
                offload,
                frame: bytes,
            }),
            Outcome::Dropped(reason) => self.watchers.publish(port, reason, bytes),
            Outcome::Answered => {}
        }
        self.enqueue_reply(port);
    }

    /// Makes the engine know what the switch decided, sends, and lets the engine execute: in this
    /// order, so that no later packet of a flow overtakes the first.
    pub(super) fn flush(&mut self) {
        self.coupling.install(&mut self.switch, &mut self.engine);
        let senders = &self.batch_senders;
        let switch = &mut self.switch;
        self.batch.send(&self.sender, |refused| {
            let sender = senders[refused.index];
            switch.count_drop(sender, DropReason::TransmitFailed, refused.len);
        });
        self.batch_senders.clear();
        self.flush_underlay();
        self.coupling.activate(&mut self.engine);
    }

    /// Tells the engine what changed without a packet being on its way.
    pub(super) fn settle_engine(&mut self) {
        self.coupling.settle(&mut self.switch, &mut self.engine);
    }

    pub(super) fn enqueue(&mut self, sender: PortId, link: u32, vnet: &VnetHeader, frame: &[u8]) {
        let mut pushed = self.batch.push(link, vnet, &[frame]);
        if pushed == Err(PushError::Full) {
            self.flush();
            pushed = self.batch.push(link, vnet, &[frame]);
        }
        match pushed {
            Ok(()) => self.batch_senders.push(sender),
            Err(_) => self
                .switch
                .count_drop(sender, DropReason::TransmitFailed, frame.len()),
        }
    }

    /// The switch's own answer goes back to where the frame came from.
    pub(super) fn enqueue_reply(&mut self, port: PortId) {
        let Some(reply) = self.switch.reply() else {
            return;
        };
        let mut copy = [0_u8; 2_048];
        let len = reply.len().min(copy.len());
        copy[..len].copy_from_slice(&reply[..len]);
        let link = self.links[usize::from(port.0)];
        self.enqueue(port, link, &[0; VNET_HEADER_LEN], &copy[..len]);
    }
}
