//! The data plane's side of the uplink: frames off it and to it, in software.

use bpf::{AttachError, BpfEngine, UplinkAttachment};
use flow::{DropReason, Encap, FlowEngine, PortId, PortMode, Tick, encapsulate_ip};
use netdev::receive::FrameMut;
use netdev::send::Refusal as SendRefusal;
use netdev::underlay::{UnderlayBatch, UnderlaySender};
use vswitch::Outcome;
use wire::checksum::fill_l4;
use wire::gso::{SEGMENTS_MAX, segment};
use wire::virtio_net::Offload;
use wire::{Kind, dissect};

use super::offload::{self, PLAIN};
use super::{BATCH_BYTES, DataPlane};

/// Packets of a batch to the underlay: a super-segment in the smallest pieces, and as many again.
const BATCH_PACKETS: usize = 2 * SEGMENTS_MAX;

/// Bytes of the outer IP, UDP and VXLAN headers, at most.
const HEADERS_MAX: usize = 40 + 8 + 8;

/// The most bytes of a piece of a super-segment: any inner packet with its Ethernet header.
const PIECE_MAX: usize = 14 + 65_535;

/// How frames leave for other hosts.
pub(super) struct Underlay {
    /// None while there is no uplink.
    sender: Option<UnderlaySender>,
    batch: UnderlayBatch,
    /// The port that sent each packet of the batch, to count what the kernel refuses.
    senders: Vec<PortId>,
    /// Where super-segments are cut.
    piece: Vec<u8>,
}

impl Underlay {
    pub(super) fn new() -> Underlay {
        Underlay {
            sender: None,
            batch: UnderlayBatch::with_capacity(BATCH_PACKETS, BATCH_BYTES),
            senders: Vec::with_capacity(BATCH_PACKETS),
            piece: vec![0; PIECE_MAX],
        }
    }

    /// Whether packets with so many bytes together can be added.
    fn has_room(&self, packets: usize, bytes: usize) -> bool {
        self.batch.has_room(packets, bytes)
    }
}

/// A frame for another host.
#[derive(Clone, Copy)]
pub(super) struct Departure<'a> {
    /// The port it is counted for.
    pub(super) sender: PortId,
    pub(super) encap: &'a Encap,
    /// The outer UDP source port.
    pub(super) source_port: u16,
    /// What its sender left to devices; checked against the frame.
    pub(super) offload: Offload,
    pub(super) frame: &'a [u8],
}

impl DataPlane {
    /// There is an uplink, and the host sends by it.
    pub(crate) fn connect_uplink(
        &mut self,
        attachment: UplinkAttachment,
        sender: UnderlaySender,
    ) -> Result<(), AttachError> {
        self.engine.attach_uplink(attachment)?;
        self.underlay.sender = Some(sender);
        self.switch.add_port(PortId::UPLINK, PortMode::Accelerated);
        if let Err(refusal) = self.engine.set_mode(PortId::UPLINK, PortMode::Accelerated) {
            tracing::warn!(%refusal, "the engine leaves the uplink to the switch");
        }
        self.watchers.cover(&mut self.engine, PortId::UPLINK);
        Ok(())
    }

    /// The uplink is away. Flows are kept; what is sent to it is the switch's to drop and to count.
    pub(crate) fn disconnect_uplink(&mut self) -> Result<(), AttachError> {
        self.underlay.sender = None;
        self.switch.set_down(PortId::UPLINK);
        self.engine.detach_uplink()
    }

    /// Judges a frame that came off the uplink, outer headers and all, and sends it on.
    pub(super) fn take_from_uplink(&mut self, frame: FrameMut<'_>, now: Tick) {
        let gso = offload::gso_of(&frame.vnet);
        let FrameMut { vnet, bytes, .. } = frame;
        let found = self.switch.process_uplink(bytes, gso, now);
        let vnet = offload::inner_header(&vnet, found.inner.start, found.inner.len());
        let inner = &bytes[found.inner];
        match found.outcome {
            Outcome::Deliver(to) => match offload::checked(&vnet, inner) {
                Ok(_) => {
                    let link = self.links[usize::from(to.0)];
                    self.enqueue(found.owner, link, &vnet, inner);
                }
                Err(reason) => self.switch.count_drop(found.owner, reason, inner.len()),
            },
            Outcome::Dropped(reason) => {
                let port = match found.owner {
                    PortId::UPLINK => PortId::UPLINK,
                    owner => owner.from_uplink(),
                };
                self.watchers.publish(port, reason, inner);
            }
            // The NIC it is for has it next, and nobody else.
            Outcome::Uplink { .. } | Outcome::Answered => {}
        }
        self.reply_to_uplink();
    }

    /// Sends a frame to another host, in pieces where it is a super-segment.
    pub(super) fn depart(&mut self, departure: Departure<'_>) {
        let Departure { sender, frame, .. } = departure;
        let sent = match departure.offload.gso {
            None => self.depart_whole(&departure),
            Some(gso) => self.depart_in_pieces(&departure, gso.size),
        };
        if sent.is_err() {
            self.switch
                .count_drop(sender, DropReason::TransmitFailed, frame.len());
        }
    }

    /// The switch's answer to what came off the uplink goes back there.
    fn reply_to_uplink(&mut self) {
        let Some((encap, source_port, reply)) = self.switch.reply_to_uplink() else {
            return;
        };
        let mut copy = [0_u8; 2_048];
        let len = reply.len().min(copy.len());
        copy[..len].copy_from_slice(&reply[..len]);
        self.depart(Departure {
            sender: PortId::UPLINK,
            encap: &encap,
            source_port,
            offload: PLAIN,
            frame: &copy[..len],
        });
    }

    fn depart_whole(&mut self, departure: &Departure<'_>) -> Result<(), ()> {
        let frame = departure.frame;
        if !self.underlay.has_room(1, HEADERS_MAX + frame.len()) {
            self.flush();
        }
        // The packet, whose checksum is to be filled in where its sender left that to devices.
        let unfinished = match departure.offload.checksum {
            Some(_) => Some(dissect(frame).map_err(|_| ())?.kind),
            None => None,
        };
        self.underlay
            .add(departure, frame, |inner| match &unfinished {
                Some(Kind::Ip(packet)) => fill_l4(inner, packet).map(drop).map_err(|_| ()),
                _ => Ok(()),
            })
    }

    fn depart_in_pieces(
        &mut self,
        departure: &Departure<'_>,
        size: std::num::NonZeroU16,
    ) -> Result<(), ()> {
        let frame = departure.frame;
        let Kind::Ip(packet) = dissect(frame).map_err(|_| ())?.kind else {
            return Err(());
        };
        // Each piece has the headers anew; none is longer than the frame's headers and the size.
        let pieces = frame.len() / usize::from(size.get()) + 1;
        let headers = packet.l4_offset + 60 + HEADERS_MAX;
        if !self
            .underlay
            .has_room(pieces, frame.len() + pieces * headers)
        {
            self.flush();
        }
        let mut piece = std::mem::take(&mut self.underlay.piece);
        let mut sent = Ok(());
        let cut = segment(frame, &packet, size, &mut piece, |piece| {
            if sent.is_ok() {
                sent = self.underlay.add(departure, piece, |_| Ok(()));
            }
        });
        self.underlay.piece = piece;
        cut.map_err(|_| ())?;
        sent
    }

    /// Hands what is in the batch to the kernel.
    pub(super) fn flush_underlay(&mut self) {
        let Underlay {
            sender,
            batch,
            senders,
            ..
        } = &mut self.underlay;
        let switch = &mut self.switch;
        if let Some(sender) = sender {
            batch.send(sender, |refused| {
                let reason = match refused.why {
                    // The switch knew of a larger MTU than the link has now.
                    SendRefusal::TooLong => DropReason::TooBig,
                    SendRefusal::LinkDown | SendRefusal::NoLink => DropReason::UplinkUnavailable,
                    _ => DropReason::TransmitFailed,
                };
                switch.count_drop(senders[refused.index], reason, refused.len);
            });
        }
        batch.clear();
        senders.clear();
    }

    /// What the engine refused off the uplink by itself.
    pub(super) fn uplink_drops(&self) -> flow::DropCounters {
        // A map that cannot be read has counted nothing we could report.
        BpfEngine::uplink_drops(&self.engine).unwrap_or_default()
    }
}

impl Underlay {
    /// Puts a frame behind its outer headers into the batch, and has `finish` see to it there.
    fn add(
        &mut self,
        departure: &Departure<'_>,
        frame: &[u8],
        finish: impl FnOnce(&mut [u8]) -> Result<(), ()>,
    ) -> Result<(), ()> {
        if self.sender.is_none() {
            return Err(());
        }
        let Departure {
            encap, source_port, ..
        } = *departure;
        let added = self
            .batch
            .push(encap.outer_dst, HEADERS_MAX + frame.len(), |room| {
                let len = encapsulate_ip(encap, source_port, frame, room).map_err(|_| ())?;
                finish(&mut room[len - frame.len()..len])?;
                Ok::<usize, ()>(len)
            });
        match added {
            Ok(Ok(())) => {
                self.senders.push(departure.sender);
                Ok(())
            }
            _ => Err(()),
        }
    }
}
