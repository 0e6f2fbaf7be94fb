//! One batch over the rings: take, judge, deliver.

use flow::{DropReason, Encap, PortId, Tick};
use vring::broken::Broken;
use vswitch::{Gso, Outcome, Switch};
use wire::Family;
use wire::dissect::plain_head;
use wire::virtio_net::{Offload, VirtioNetHeader};

use super::adapt::{self, PIECE_MAX};
use super::from_guest::{BATCH, FromGuest, Rest};
use super::front::{FRAME_MAX, Front};
use super::to_guest::{ToGuest, Undelivered};

const _: () = assert!(BATCH <= Switch::AHEAD_MAX);

/// The rings of one NIC: a place for each pair of queues, empty while a queue is not started.
#[derive(Default)]
pub struct RingPort {
    /// What the guest sends by.
    pub from_guest: Vec<Option<FromGuest>>,
    /// What the guest receives by.
    pub to_guest: Vec<Option<ToGuest>>,
}

/// Where frames go that leave the rings, and who hears of those that end.
pub trait Beyond {
    /// A frame for a guest that has no rings here.
    fn deliver(&mut self, sender: PortId, to: PortId, offload: &Offload, frame: &[u8]);

    /// A frame for another host, without its outer headers.
    fn depart(
        &mut self,
        sender: PortId,
        encap: &Encap,
        source_port: u16,
        offload: &Offload,
        frame: &[u8],
    );

    /// A frame that ended, and its first bytes. It is counted.
    fn ended(&mut self, sender: PortId, reason: DropReason, head: &[u8]);
}

/// A frame with its way.
struct Sent {
    sender: PortId,
    pair: usize,
    outcome: Outcome,
}

/// Frames between the ports with rings, and from them to everywhere.
pub struct Forwarder {
    ports: Vec<Option<RingPort>>,
    /// Where a frame is put together that is not judged by its first bytes alone.
    whole: Box<[u8]>,
    /// Where segments are cut.
    piece: Box<[u8]>,
    /// The first bytes of frames of our own memory.
    front: Box<Front>,
}

impl Default for Forwarder {
    fn default() -> Forwarder {
        Forwarder {
            ports: Vec::new(),
            whole: vec![0; FRAME_MAX].into(),
            piece: vec![0; PIECE_MAX].into(),
            front: Box::default(),
        }
    }
}

impl Forwarder {
    /// The rings of a port, which has none at first.
    pub fn port(&mut self, port: PortId) -> &mut RingPort {
        let at = usize::from(port.0);
        if self.ports.len() <= at {
            self.ports.resize_with(at + 1, || None);
        }
        self.ports[at].get_or_insert_default()
    }

    /// The port and its rings are no more.
    pub fn remove(&mut self, port: PortId) -> Option<RingPort> {
        self.ports.get_mut(usize::from(port.0))?.take()
    }

    /// Takes a batch from one transmit queue, has it judged, and delivers it. Guests are shown what
    /// they got by [`Forwarder::show`]. Says how many frames there were.
    ///
    /// # Errors
    /// The guest broke its ring.
    pub fn serve(
        &mut self,
        port: PortId,
        pair: usize,
        switch: &mut Switch,
        beyond: &mut impl Beyond,
        now: Tick,
    ) -> Result<Served, Broken> {
        let Some(mut from) = self.lend(port, pair) else {
            return Ok(Served::default());
        };
        let taken = from.take();
        let mut served = Served::default();
        if let Ok(frames) = taken {
            let fronts = from.fronts(frames).iter();
            switch.look_ahead(fronts.map(|front| (port, front.head())));
            for at in 0..frames {
                if let Some((front, rest)) = from.frame(at) {
                    self.judge(port, pair, front, rest, switch, beyond, now);
                }
            }
            served = Served {
                frames,
                call: from.give_back(),
            };
        }
        self.get_back(port, pair, from);
        taken.map(|_| served)
    }

    /// Shows guests what was delivered to them, and names those who want to be called for it.
    pub fn show(&mut self, mut call: impl FnMut(PortId, usize)) {
        for (port, rings) in (0..).zip(&mut self.ports) {
            let queues = rings.iter_mut().flat_map(|rings| &mut rings.to_guest);
            for (pair, queue) in queues.enumerate() {
                if queue.as_mut().is_some_and(ToGuest::flush) {
                    call(PortId(port), pair);
                }
            }
        }
    }

    /// Delivers a frame of our own memory: of a guest without rings, off the uplink, or the switch's
    /// own.
    ///
    /// # Errors
    /// Why the guest does not get it; counting it is the caller's.
    pub fn deliver(
        &mut self,
        to: PortId,
        pair: usize,
        offload: &Offload,
        frame: &mut [u8],
    ) -> Result<(), DropReason> {
        let rings = self
            .ports
            .get_mut(usize::from(to.0))
            .and_then(Option::as_mut);
        let queue = rings.and_then(|rings| receiving(rings, pair));
        let queue = queue.ok_or(DropReason::PortDown)?;
        if adapt::takes(queue.offloads(), offload, family_of(frame)) {
            self.front.set(header_of(offload, frame), frame);
            let delivered = queue.deliver(&mut self.front, Rest::Host(frame));
            return delivered.map_err(reason_of);
        }
        let front = &mut self.front;
        let mut result = Ok(());
        let finished = adapt::finish(frame, offload, &mut self.piece, |piece| {
            if result.is_ok() {
                front.set(VirtioNetHeader::default(), piece);
                result = queue.deliver(front, Rest::Host(piece)).map_err(reason_of);
            }
        });
        if finished {
            result
        } else {
            Err(DropReason::Malformed)
        }
    }

    /// By the first bytes, if they are enough.
    #[inline]
    fn judge(
        &mut self,
        port: PortId,
        pair: usize,
        front: &mut Front,
        rest: Rest<'_>,
        switch: &mut Switch,
        beyond: &mut impl Beyond,
        now: Tick,
    ) {
        let len = front.len();
        let gso = gso_of(&front.header);
        let Some(outcome) = switch.process_head(port, front.head_mut(), len, gso, now) else {
            return self.judge_whole(port, pair, front, rest, switch, beyond, now);
        };
        if let Outcome::Deliver(to) = outcome
            && let Some(handed) = self.hand_over(to, pair, front, rest)
        {
            if let Err(reason) = handed {
                Self::end(port, reason, front.head(), front.len(), switch, beyond);
            }
            return;
        }
        let sent = Sent {
            sender: port,
            pair,
            outcome,
        };
        self.send_otherwise(sent, front, rest, switch, beyond);
    }

    /// From guest to guest, if the receiver has rings and takes the frame as it is.
    #[inline]
    fn hand_over(
        &mut self,
        to: PortId,
        pair: usize,
        front: &mut Front,
        rest: Rest<'_>,
    ) -> Option<Result<(), DropReason>> {
        let rings = self.ports.get_mut(usize::from(to.0))?.as_mut()?;
        let queue = receiving(rings, pair)?;
        let offload = adapt::checked_head(&front.header, front.head(), front.len())?.ok()?;
        if !adapt::takes(queue.offloads(), &offload, family_of(front.head())) {
            return None;
        }
        front.header = header_of(&offload, front.head());
        Some(queue.deliver(front, rest).map_err(reason_of))
    }

    /// A frame whose way was found by its first bytes, and is not that of most: it is put together.
    #[cold]
    fn send_otherwise(
        &mut self,
        sent: Sent,
        front: &Front,
        rest: Rest<'_>,
        switch: &mut Switch,
        beyond: &mut impl Beyond,
    ) {
        let mut whole = std::mem::take(&mut self.whole);
        let (head, len) = (front.head(), front.len());
        let frame = &mut whole[..len];
        // Its beginning is as it was rewritten, the rest is where it was.
        frame[..head.len()].copy_from_slice(head);
        match rest.read(head.len(), &mut frame[head.len()..]) {
            Some(()) => self.send(sent, &front.header, frame, switch, beyond),
            None => switch.count_drop(sent.sender, DropReason::Malformed, len),
        }
        self.whole = whole;
    }

    /// Puts a frame together, and has all of it judged.
    #[cold]
    fn judge_whole(
        &mut self,
        port: PortId,
        pair: usize,
        front: &Front,
        rest: Rest<'_>,
        switch: &mut Switch,
        beyond: &mut impl Beyond,
        now: Tick,
    ) {
        let mut whole = std::mem::take(&mut self.whole);
        let frame = &mut whole[..front.len()];
        frame[..front.head().len()].copy_from_slice(front.head());
        let read = rest.read(front.head().len(), &mut frame[front.head().len()..]);
        if read.is_some() {
            let gso = gso_of(&front.header);
            let outcome = switch.process_whole(port, frame, gso, now);
            let sent = Sent {
                sender: port,
                pair,
                outcome,
            };
            self.send(sent, &front.header, frame, switch, beyond);
        } else {
            switch.count_drop(port, DropReason::Malformed, front.len());
        }
        self.whole = whole;
    }

    /// Sends a frame that is whole to where it goes.
    fn send(
        &mut self,
        sent: Sent,
        header: &VirtioNetHeader,
        frame: &mut [u8],
        switch: &mut Switch,
        beyond: &mut impl Beyond,
    ) {
        let Sent {
            sender,
            pair,
            outcome,
        } = sent;
        let leaves = matches!(outcome, Outcome::Deliver(_) | Outcome::Uplink { .. });
        let offload = match adapt::checked(header, frame) {
            Ok(offload) => offload,
            Err(_) if !leaves => Offload::default(),
            Err(_) => {
                let (reason, len) = (DropReason::Malformed, frame.len());
                return Self::end(sender, reason, frame, len, switch, beyond);
            }
        };
        match outcome {
            Outcome::Deliver(to) if self.has_rings(to) => {
                if let Err(reason) = self.deliver(to, pair, &offload, frame) {
                    Self::end(sender, reason, frame, frame.len(), switch, beyond);
                }
            }
            Outcome::Deliver(to) => beyond.deliver(sender, to, &offload, frame),
            Outcome::Uplink { encap, source_port } => {
                beyond.depart(sender, &encap, source_port, &offload, frame);
            }
            Outcome::Answered => {}
            Outcome::Dropped(reason) => beyond.ended(sender, reason, frame),
        }
        self.answer(sender, pair, switch);
    }

    /// What the switch answers goes back to the sender, if it has room.
    fn answer(&mut self, sender: PortId, pair: usize, switch: &Switch) {
        let Some(reply) = switch.reply() else {
            return;
        };
        let rings = self.ports.get_mut(usize::from(sender.0));
        let rings = rings.and_then(Option::as_mut);
        if let Some(queue) = rings.and_then(|rings| receiving(rings, pair)) {
            self.front.set(VirtioNetHeader::default(), reply);
            // As on a wire: who asks without listening hears nothing.
            let _unheard = queue.deliver(&mut self.front, Rest::Host(reply));
        }
    }

    #[cold]
    fn end(
        sender: PortId,
        reason: DropReason,
        head: &[u8],
        len: usize,
        switch: &mut Switch,
        beyond: &mut impl Beyond,
    ) {
        switch.count_drop(sender, reason, len);
        beyond.ended(sender, reason, head);
    }

    fn has_rings(&self, port: PortId) -> bool {
        let rings = self.ports.get(usize::from(port.0));
        rings.is_some_and(Option::is_some)
    }

    fn lend(&mut self, port: PortId, pair: usize) -> Option<FromGuest> {
        let rings = self.ports.get_mut(usize::from(port.0))?.as_mut()?;
        rings.from_guest.get_mut(pair)?.take()
    }

    fn get_back(&mut self, port: PortId, pair: usize, from: FromGuest) {
        if let Some(Some(rings)) = self.ports.get_mut(usize::from(port.0))
            && let Some(place) = rings.from_guest.get_mut(pair)
        {
            *place = Some(from);
        }
    }
}

/// What a batch was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Frames taken.
    pub frames: usize,
    /// Whether the sender wants to be called for the buffers it has back.
    pub call: bool,
}

/// The queue of a pair, or of the first that is started: a guest uses as many pairs as it likes.
#[inline]
fn receiving(rings: &mut RingPort, pair: usize) -> Option<&mut ToGuest> {
    let queues = &mut rings.to_guest;
    let started = queues.get(pair).is_some_and(Option::is_some);
    let at = if started { pair } else { 0 };
    queues.get_mut(at)?.as_mut()
}

fn reason_of(undelivered: Undelivered) -> DropReason {
    match undelivered {
        Undelivered::NoBuffers => DropReason::NoReceiveBuffer,
        Undelivered::TooLong => DropReason::TooBig,
        Undelivered::Broken(_) => DropReason::PortDown,
        Undelivered::Unreadable => DropReason::Malformed,
    }
}

fn gso_of(header: &VirtioNetHeader) -> Option<Gso> {
    (header.gso_type != 0).then(|| Gso {
        size: header.gso_size.get(),
    })
}

#[inline]
fn family_of(head: &[u8]) -> Family {
    const IPV6: [u8; 2] = [0x86, 0xdd];
    match head.get(12..14) {
        Some(ethertype) if *ethertype == IPV6 => Family::V6,
        _ => Family::V4,
    }
}

/// What the receiver is told of a frame. How long its headers are is a hint for the receiver's stack,
/// which looks at them where there is something to do.
#[inline]
fn header_of(offload: &Offload, head: &[u8]) -> VirtioNetHeader {
    if *offload == Offload::default() {
        return VirtioNetHeader::default();
    }
    let headers = plain_head(head, FRAME_MAX).map_or(0, |plain| plain.headers_len);
    VirtioNetHeader::of(offload, 14 + headers)
}

#[cfg(test)]
mod tests;
