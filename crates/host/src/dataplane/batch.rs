use flow::{DropReason, PortId};
use netdev::receive::FrameReceiver;
use netdev::send::PushError;
use netdev::{VNET_HEADER_LEN, VnetHeader};
use vswitch::{Gso, Outcome};

use super::DataPlane;
use crate::clock;

/// The bits of a VLAN tag that hold the port (IEEE 802.1Q, 9.6).
const PORT_BITS: u16 = 0x0fff;

impl DataPlane {
    /// Takes a batch of exceptions from the kernel and sends them on. False when there was none.
    pub(super) fn receive_batch(&mut self, receiver: &mut FrameReceiver) -> bool {
        match receiver.recv_batch() {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => {
                // The kernel tells once, and the receiver goes on when the device is up again.
                tracing::warn!(%error, "exceptions do not come up");
                return false;
            }
        }
        let now = clock::now();
        for frame in receiver.frames_mut() {
            // Without a tag it was not the engine that put it there.
            let Some(tag) = frame.vlan_tci else { continue };
            let port = PortId(tag & PORT_BITS);
            let gso = gso_of(&frame.vnet);
            let outcome = self.switch.process(port, frame.bytes, gso, now);
            match outcome {
                Outcome::Deliver(to) => {
                    let link = self.links[usize::from(to.0)];
                    self.enqueue(port, link, &frame.vnet, frame.bytes);
                }
                Outcome::Uplink(_) => {
                    self.switch.count_no_uplink(port, frame.bytes.len());
                    self.watchers
                        .publish(port, DropReason::UplinkUnavailable, frame.bytes);
                }
                Outcome::Dropped(reason) => self.watchers.publish(port, reason, frame.bytes),
                Outcome::Answered => {}
            }
            self.enqueue_reply(port);
        }
        self.flush();
        true
    }

    /// Makes the engine know what the switch decided, sends, and lets the engine execute: in this
    /// order, so that no later packet of a flow overtakes the first.
    fn flush(&mut self) {
        self.coupling.install(&mut self.switch, &mut self.engine);
        let senders = &self.batch_senders;
        let switch = &mut self.switch;
        self.batch.send(&self.sender, |refused| {
            switch.count_transmit_failure(senders[refused.index], refused.len);
        });
        self.batch_senders.clear();
        self.coupling.activate(&mut self.engine);
    }

    /// Tells the engine what changed without a packet being on its way.
    pub(super) fn settle_engine(&mut self) {
        self.coupling.settle(&mut self.switch, &mut self.engine);
    }

    fn enqueue(&mut self, sender: PortId, link: u32, vnet: &VnetHeader, frame: &[u8]) {
        let mut pushed = self.batch.push(link, vnet, &[frame]);
        if pushed == Err(PushError::Full) {
            self.flush();
            pushed = self.batch.push(link, vnet, &[frame]);
        }
        match pushed {
            Ok(()) => self.batch_senders.push(sender),
            Err(_) => self.switch.count_transmit_failure(sender, frame.len()),
        }
    }

    /// The switch's own answer goes back to where the frame came from.
    fn enqueue_reply(&mut self, port: PortId) {
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

/// The segment size of a super-segment (virtio 1.2, 5.1.6): type in the second byte, size in the
/// fifth and sixth, in host order on packet sockets.
fn gso_of(vnet: &VnetHeader) -> Option<Gso> {
    const GSO_NONE: u8 = 0;
    (vnet[1] != GSO_NONE).then(|| Gso {
        size: u16::from_ne_bytes([vnet[4], vnet[5]]),
    })
}
