//! A session with a guest's memory and drivers around it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::fcntl_dupfd_cloexec;
use vring::batch::Batch;
use vring::driver::{Arena, Buffer, Driver, Setup, Side};
use vring::memory::{GuestAddress, Region, UserAddress};

use crate::features::{NetFeatures, ProtocolFeatures};
use crate::net_config::NetConfig;
use crate::notifier::Notifier;
use crate::protocol::{Code, Reply, ReplyBody, Request, RingAddresses, SharedRegion, VringFd};
use crate::session::{DeviceConfig, Event, QueueHandover, Refusal, Session, SessionError};

pub(super) const REGION: Region = Region {
    guest: GuestAddress(0x10_0000),
    user: UserAddress(0x7f00_0000_0000),
    size: 1 << 20,
};

pub(super) const SPLIT: NetFeatures =
    NetFeatures(NetFeatures::VERSION_1.0 | NetFeatures::PROTOCOL_FEATURES.0);

pub(super) const PACKED: NetFeatures = NetFeatures(SPLIT.0 | NetFeatures::RING_PACKED.0);

pub(super) struct Bench {
    pub(super) session: Session,
    pub(super) arena: Arena,
    pub(super) driver: Driver,
    pub(super) call: Notifier,
    pub(super) kick: Notifier,
    pub(super) error: Notifier,
}

pub(super) fn config() -> DeviceConfig {
    let net = NetConfig {
        mac: [2, 0, 0, 0, 0, 1],
        link_up: true,
        announce: false,
        queue_pairs: 2,
        mtu: 1500,
    };
    DeviceConfig::new(net, NetFeatures::OFFLOADS).unwrap()
}

pub(super) fn duplicate(file: impl AsFd) -> OwnedFd {
    fcntl_dupfd_cloexec(file, 0).unwrap()
}

pub(super) fn shared(region: Region, file: BorrowedFd<'_>) -> SharedRegion<OwnedFd> {
    SharedRegion {
        guest_address: region.guest.0,
        size: region.size,
        user_address: region.user.0,
        mmap_offset: 0,
        file: duplicate(file),
    }
}

impl Bench {
    /// A session that nothing was said in, and a driver for `features`.
    pub(super) fn new(features: NetFeatures) -> Self {
        let mut arena = Arena::new(REGION).unwrap();
        let setup = Setup {
            size: 8,
            features: features.rings(),
            table: 0,
        };
        let driver = Driver::new(&mut arena, setup).unwrap();
        Self {
            session: Session::new(config()),
            arena,
            driver,
            call: Notifier::new().unwrap(),
            kick: Notifier::new().unwrap(),
            error: Notifier::new().unwrap(),
        }
    }

    /// The same, with features negotiated.
    pub(super) fn negotiated(features: NetFeatures) -> Self {
        let mut bench = Self::new(features);
        bench.negotiate(features);
        bench
    }

    /// The same, with ring 0 running; returns its queue.
    pub(super) fn running(features: NetFeatures) -> (Self, QueueHandover) {
        let mut bench = Self::negotiated(features);
        for request in bench.set_up(0) {
            bench.ok(request);
        }
        let queue = bench.started();
        (bench, queue)
    }

    pub(super) fn negotiate(&mut self, features: NetFeatures) {
        let all = Request::SetProtocolFeatures(ProtocolFeatures::SUPPORTED.0);
        self.ok(all);
        self.ok(Request::SetFeatures(features.0));
        assert!(
            matches!(self.session.next_event(), Some(Event::FeaturesSet(set)) if set == features)
        );
    }

    /// What has to be said for ring `index` to run.
    pub(super) fn set_up(&self, index: u32) -> [Request<OwnedFd>; 7] {
        let layout = self.driver.layout();
        [
            self.table(),
            Request::SetVringNum {
                index,
                num: u32::from(layout.size),
            },
            self.addresses(index, None),
            Request::SetVringErr(fd(index, &self.error)),
            Request::SetVringCall(fd(index, &self.call)),
            Request::SetVringKick(fd(index, &self.kick)),
            Request::SetVringEnable {
                index,
                enable: true,
            },
        ]
    }

    pub(super) fn table(&self) -> Request<OwnedFd> {
        let regions = self.arena.regions();
        Request::SetMemTable(regions.map(|(region, file)| shared(region, file)).collect())
    }

    pub(super) fn addresses(&self, index: u32, log: Option<u64>) -> Request<OwnedFd> {
        let layout = self.driver.layout();
        Request::SetVringAddr(RingAddresses {
            index,
            logged: log.is_some(),
            descriptor: layout.descriptors.0,
            used: layout.device.0,
            available: layout.driver.0,
            log: log.unwrap_or(0),
        })
    }

    /// A request that has to succeed, at once and without a reply of its own.
    pub(super) fn ok(&mut self, request: Request<OwnedFd>) {
        let code = request.code();
        self.session.handle(request, true).unwrap();
        assert_eq!(self.reply(code), Some(ReplyBody::Word(0)), "{code}");
    }

    /// A request that has to be refused by its reply.
    pub(super) fn refused(&mut self, request: Request<OwnedFd>) -> Refusal {
        let code = request.code();
        if let Err(SessionError::Refused(refusal)) = self.session.handle(request, true) {
            assert!(code.has_reply(), "{code} closes");
            return refusal;
        }
        assert_eq!(self.reply(code), Some(ReplyBody::Word(1)), "{code}");
        loop {
            if let Event::Refused(refusal) = self.session.next_event().unwrap() {
                return refusal;
            }
        }
    }

    /// A request that has a reply of its own, at once.
    pub(super) fn ask(&mut self, request: Request<OwnedFd>) -> ReplyBody<u32> {
        let code = request.code();
        self.session.handle(request, false).unwrap();
        self.reply(code).unwrap()
    }

    /// The reply that was made, without its descriptor.
    pub(super) fn reply(&mut self, code: Code) -> Option<ReplyBody<u32>> {
        let message = self.session.next_reply()?;
        assert_eq!(self.session.next_reply().map(|_| ()), None);
        Some(match Reply::decode(code, message).unwrap().body {
            ReplyBody::Word(word) => ReplyBody::Word(word),
            ReplyBody::Base { index, base } => ReplyBody::Base { index, base },
            ReplyBody::Log(area) => ReplyBody::Log(area),
            ReplyBody::Config(range, bytes) => ReplyBody::Config(range, bytes),
            ReplyBody::NoConfig => ReplyBody::NoConfig,
            ReplyBody::Inflight(area, file) => ReplyBody::Inflight(area, file.map(|_| 0)),
        })
    }

    /// The queue of the next event, which is its start.
    pub(super) fn started(&mut self) -> QueueHandover {
        match self.session.next_event() {
            Some(Event::QueueStarted(handover)) => *handover,
            other => panic!("{other:?}"),
        }
    }

    /// Whether the next event asks for this queue.
    pub(super) fn is_asked_for(&mut self, index: u16) -> bool {
        matches!(self.session.next_event(), Some(Event::QueueStop(asked)) if asked == index)
    }

    pub(super) fn is_quiet(&mut self) -> bool {
        let (event, reply) = (self.session.next_event(), self.session.next_reply());
        event.is_none() && reply.is_none()
    }

    /// Puts one buffer for the device to write into the ring.
    pub(super) fn offer(&mut self, token: u32) -> GuestAddress {
        let address = self.arena.take(4096, 4096).unwrap();
        let buffer = Buffer { address, len: 64 };
        let taken = self.driver.offer_each(Side::Writable, [(buffer, token)]);
        assert_eq!(taken, 1);
        let _ = self.driver.publish();
        address
    }
}

pub(super) fn fd(index: u32, notifier: &Notifier) -> VringFd<OwnedFd> {
    VringFd {
        index: u8::try_from(index).unwrap(),
        file: Some(notifier.share().unwrap()),
    }
}

/// Writes a byte into the next buffer and gives it back, as a worker does.
pub(super) fn serve(handover: &mut QueueHandover) -> usize {
    let mut batch = Batch::new(8);
    let taken = handover.queue.pop(&mut batch, 8).unwrap();
    for index in 0..taken {
        let chain = batch.chain(index).unwrap();
        chain.writable().write(0, &[7]).unwrap();
        batch.set_written(index, 1);
    }
    handover.queue.complete(&mut batch, 0..taken);
    let _ = handover.queue.publish();
    taken
}
