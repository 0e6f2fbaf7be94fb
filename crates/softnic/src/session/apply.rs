//! What each request does.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use vring::dirty::DirtyLog;
use vring::inflight::{InflightArea as Tracking, Shape};
use vring::layout::QUEUE_SIZE_MAX;
use vring::memory::{GuestAddress, GuestMemory, REGIONS_MAX, Region, UserAddress};
use vring::queue::Position;

use super::config::MTU_MIN;
use super::ring::{Kick, Ring, State};
use super::{Event, MEMORY_BYTES_MAX, Refusal, Session};
use crate::features::{NetFeatures, ProtocolFeatures};
use crate::notifier::Notifier;
use crate::protocol::{
    CONFIG_BYTES_MAX, ConfigRange, InflightArea, LogArea, ReplyBody, Request, RingAddresses,
    SharedRegion, VringFd,
};

/// `FEATURES_OK` of the device status (virtio 1.2, 2.1).
const STATUS_FEATURES_OK: u8 = 8;

type Done = Result<Option<ReplyBody<OwnedFd>>, Refusal>;

impl Session {
    /// Does what a request asks for; the queues that it needs are here.
    pub(super) fn apply(&mut self, request: Request<OwnedFd>) -> Done {
        match request {
            Request::GetFeatures => word(self.config.offered.0),
            Request::SetFeatures(features) => self.set_features(NetFeatures(features)),
            Request::GetProtocolFeatures => word(ProtocolFeatures::SUPPORTED.0),
            Request::SetProtocolFeatures(features) => {
                self.protocol = ProtocolFeatures(features);
                Ok(None)
            }
            // The log is polled by those who migrate; QEMU gives no descriptor to be told by.
            Request::SetOwner | Request::SetLogFd(_) => Ok(None),
            Request::ResetOwner => self.reset_owner(),
            Request::ResetDevice => self.reset_device(),
            Request::GetQueueNum => word(u64::from(self.config.net.queue_pairs)),
            Request::SetMemTable(regions) => self.set_memory(regions),
            Request::GetMaxMemSlots => word(REGIONS_MAX as u64),
            Request::AddMemReg(region) => self.add_region(region),
            Request::RemMemReg(region) => self.remove_region(region),
            Request::SetLogBase(area, file) => self.set_log(area, &file),
            Request::SetLogAddress(_) => Err(Refusal::LogNotShared),
            Request::SetVringNum { index, num } => self.set_size(index, num),
            Request::SetVringAddr(addresses) => self.set_addresses(addresses),
            Request::SetVringBase { index, base } => {
                self.ring_mut(index)?.1.base = Some(Position(base));
                Ok(None)
            }
            Request::GetVringBase { index } => self.stop_ring(index),
            Request::SetVringKick(fd) => self.set_kick(fd),
            Request::SetVringCall(fd) => self.set_call(fd),
            Request::SetVringErr(fd) => self.set_error(fd),
            Request::SetVringEnable { index, enable } => {
                let index = self.known(index)?;
                self.enable(index, enable);
                self.start_if_ready(index)?;
                Ok(None)
            }
            Request::SendRarp(mac) => self.tell(Event::Announce(mac)),
            Request::NetSetMtu(mtu) => self.set_mtu(mtu),
            Request::SetBackendReqFd(file) => self.tell(Event::BackChannel(file)),
            Request::GetConfig(range) => Ok(Some(self.read_config(range))),
            Request::SetConfig { range, bytes } => self.write_config(range, &bytes),
            Request::GetInflightFd(area) => self.make_inflight(area),
            Request::SetInflightFd(area, file) => self.use_inflight(area, &file),
            Request::SetStatus(status) => self.set_status(status),
            Request::GetStatus => word(u64::from(self.status)),
            Request::Unsupported(code) => Err(Refusal::Unsupported(code)),
        }
    }

    fn set_features(&mut self, features: NetFeatures) -> Done {
        let before = self.features.replace(features);
        if before == Some(features) {
            return Ok(None);
        }
        let logging = features.has(NetFeatures::LOG_ALL);
        if before.unwrap_or_default().has(NetFeatures::LOG_ALL) != logging {
            self.events.push_back(Event::Logging(logging));
        }
        self.events.push_back(Event::FeaturesSet(features));
        self.start_all_ready();
        Ok(None)
    }

    /// "It is recommended that back-ends either ignore this message, or use it to disable all rings":
    /// the latter where the front end has a way to enable them again.
    fn reset_owner(&mut self) -> Done {
        let features = self.features.unwrap_or_default();
        if features.has(NetFeatures::PROTOCOL_FEATURES) {
            for index in 0..self.config.rings() {
                self.enable(index, false);
            }
        }
        Ok(None)
    }

    /// The memory table stays, as QEMU only tells what changes in it; so do calls and errors, which are
    /// set once.
    fn reset_device(&mut self) -> Done {
        for ring in &mut self.rings {
            ring.stop(State::Stopped);
            *ring = Ring {
                call: ring.call.take(),
                error: ring.error.take(),
                ..Ring::default()
            };
        }
        self.features = None;
        self.inflight = None;
        self.log = None;
        self.status = 0;
        self.tell(Event::Reset)
    }

    fn set_memory(&mut self, regions: Vec<SharedRegion<OwnedFd>>) -> Done {
        let mut memory = GuestMemory::new();
        for region in regions {
            memory = with_region(&memory, &region)?;
        }
        self.use_memory(memory)
    }

    fn add_region(&mut self, region: SharedRegion<OwnedFd>) -> Done {
        let memory = with_region(&self.memory, &region)?;
        self.use_memory(memory)
    }

    fn remove_region(&mut self, region: SharedRegion<()>) -> Done {
        let memory = self.memory.without_region(place(&region))?;
        self.use_memory(memory)
    }

    fn use_memory(&mut self, memory: GuestMemory) -> Done {
        self.memory = memory;
        self.start_all_ready();
        Ok(None)
    }

    fn set_log(&mut self, area: LogArea, file: &OwnedFd) -> Done {
        let log = DirtyLog::new(file, area.offset, area.size).map_err(Refusal::Log)?;
        self.log = Some(Arc::new(log));
        Ok(Some(ReplyBody::Log(area)))
    }

    fn set_size(&mut self, index: u32, num: u32) -> Done {
        let (index, ring) = self.ring_mut(index)?;
        let size = u16::try_from(num).ok();
        let size = size.filter(|size| (1..=QUEUE_SIZE_MAX).contains(size));
        ring.size = Some(size.ok_or(Refusal::RingSize { index, num })?);
        self.start_if_ready(index)?;
        Ok(None)
    }

    fn set_addresses(&mut self, addresses: RingAddresses) -> Done {
        let (index, ring) = self.ring_mut(addresses.index)?;
        let layout = ring.layout();
        ring.addresses = Some(addresses);
        if ring.layout() != layout {
            ring.stop(State::Stopped);
            self.start_if_ready(index)?;
        }
        Ok(None)
    }

    fn stop_ring(&mut self, index: u32) -> Done {
        let features = self.features.unwrap_or_default().rings();
        let (_, ring) = self.ring_mut(index)?;
        ring.stop(State::Stopped);
        ring.kick = Kick::Unset;
        let base = ring.position(features).0;
        Ok(Some(ReplyBody::Base { index, base }))
    }

    fn set_kick(&mut self, fd: VringFd<OwnedFd>) -> Done {
        let (index, ring, kick) = self.notifier(fd)?;
        ring.kick = kick.map_or(Kick::Polled, Kick::Signalled);
        if ring.is_running() {
            let kick = ring.kick().cloned();
            return self.tell(Event::KickChanged(index, kick));
        }
        ring.state = State::Stopped;
        self.start_if_ready(index)?;
        Ok(None)
    }

    fn set_call(&mut self, fd: VringFd<OwnedFd>) -> Done {
        let (index, ring, call) = self.notifier(fd)?;
        ring.call.clone_from(&call);
        if ring.is_running() {
            return self.tell(Event::CallChanged(index, call));
        }
        Ok(None)
    }

    fn set_error(&mut self, fd: VringFd<OwnedFd>) -> Done {
        let (_, ring, error) = self.notifier(fd)?;
        ring.error = error;
        Ok(None)
    }

    fn enable(&mut self, index: u16, enable: bool) {
        let ring = &mut self.rings[usize::from(index)];
        let before = ring.enabled.replace(enable);
        if ring.is_out() && before != Some(enable) {
            self.events.push_back(Event::QueueEnabled(index, enable));
        }
    }

    fn set_mtu(&mut self, mtu: u64) -> Done {
        let max = self.config.net.mtu;
        let accepted = u16::try_from(mtu).ok();
        let accepted = accepted.filter(|mtu| (MTU_MIN..=max).contains(mtu));
        let mtu = accepted.ok_or(Refusal::Mtu { mtu, max })?;
        self.tell(Event::MtuSet(mtu))
    }

    fn read_config(&self, range: ConfigRange) -> ReplyBody<OwnedFd> {
        let end = u64::from(range.offset) + u64::from(range.size);
        if range.size == 0 || end > CONFIG_BYTES_MAX as u64 {
            return ReplyBody::NoConfig;
        }
        let bytes = self.config.net.read(range.offset, range.size);
        ReplyBody::Config(range, bytes)
    }

    /// Nothing in the space is the guest's to change, and a migrated device has to be the one that it
    /// was; so a write is good if it changes nothing.
    fn write_config(&mut self, range: ConfigRange, bytes: &[u8]) -> Done {
        if !self.config.net.is_unchanged_by(range.offset, bytes) {
            let offset = range.offset;
            return Err(Refusal::ConfigWrite { offset });
        }
        Ok(None)
    }

    fn make_inflight(&mut self, wanted: InflightArea) -> Done {
        let shape = self.shape(wanted)?;
        let (file, area) = Tracking::create(shape).map_err(Refusal::Inflight)?;
        self.inflight = Some(area);
        let made = InflightArea {
            mmap_size: shape.bytes(),
            mmap_offset: 0,
            ..wanted
        };
        Ok(Some(ReplyBody::Inflight(made, Some(file))))
    }

    fn use_inflight(&mut self, area: InflightArea, file: &OwnedFd) -> Done {
        let shape = self.shape(area)?;
        let opened = Tracking::open(file, area.mmap_offset, area.mmap_size, shape);
        self.inflight = Some(opened.map_err(Refusal::Inflight)?);
        Ok(None)
    }

    fn shape(&self, area: InflightArea) -> Result<Shape, Refusal> {
        if area.num_queues > self.config.rings() {
            return Err(Refusal::RingUnknown(u32::from(area.num_queues)));
        }
        let features = self.features.unwrap_or_default().rings();
        Ok(Shape {
            queues: area.num_queues,
            queue_size: area.queue_size,
            format: features.format(),
        })
    }

    /// Zero is a reset of the driver's making: rings stop, and what the front end has said of them
    /// stays until it says something else.
    fn set_status(&mut self, status: u64) -> Done {
        let mut status = u8::try_from(status).map_err(|_| Refusal::Status(status))?;
        if status == 0 {
            for ring in &mut self.rings {
                ring.stop(State::Stopped);
                ring.kick = Kick::Unset;
            }
        }
        if self.features.is_none() {
            // "Re-read device status to ensure the FEATURES_OK bit is still set."
            status &= !STATUS_FEATURES_OK;
        }
        self.status = status;
        self.tell(Event::DriverStatus(status))
    }

    fn tell(&mut self, event: Event) -> Done {
        self.events.push_back(event);
        Ok(None)
    }

    fn ring_mut(&mut self, index: u32) -> Result<(u16, &mut Ring), Refusal> {
        let index = self.known(index)?;
        Ok((index, &mut self.rings[usize::from(index)]))
    }

    fn notifier(
        &mut self,
        fd: VringFd<OwnedFd>,
    ) -> Result<(u16, &mut Ring, Option<Notifier>), Refusal> {
        let (index, ring) = self.ring_mut(u32::from(fd.index))?;
        let notifier = fd.file.map(Notifier::foreign).transpose();
        let notifier = notifier.map_err(|source| Refusal::RingNotifier { index, source })?;
        Ok((index, ring, notifier))
    }
}

fn word(word: u64) -> Done {
    Ok(Some(ReplyBody::Word(word)))
}

fn place<F>(region: &SharedRegion<F>) -> Region {
    Region {
        guest: GuestAddress(region.guest_address),
        user: UserAddress(region.user_address),
        size: region.size,
    }
}

fn with_region(
    memory: &GuestMemory,
    region: &SharedRegion<OwnedFd>,
) -> Result<GuestMemory, Refusal> {
    let shared = memory.regions().map(|region| region.size);
    let shared = shared.fold(region.size, u64::saturating_add);
    if shared > MEMORY_BYTES_MAX {
        return Err(Refusal::MemorySize(shared));
    }
    Ok(memory.with_region(place(region), &region.file, region.mmap_offset)?)
}
