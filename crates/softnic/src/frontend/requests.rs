//! What a front end asks for, request by request.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use vring::layout::Layout;
use vring::memory::{GuestAddress, Region};
use vring::queue::Position;

use super::{Frontend, FrontendError, QueueEnd};
use crate::notifier::Notifier;
use crate::protocol::{
    BackendRequest, Code, ConfigRange, InflightArea, LogArea, MessageError, ReplyBody, Request,
    RingAddresses, SharedRegion, TABLE_REGIONS_MAX, VringFd,
};
use crate::transport::Connection;

impl Frontend {
    /// Shares memory: all of it at once, or region by region if there are more than a table holds.
    ///
    /// # Errors
    /// What requests fail with.
    pub fn share(
        &mut self,
        regions: impl Iterator<Item = (Region, impl AsFd)>,
    ) -> Result<(), FrontendError> {
        let regions: Result<Vec<_>, Errno> = regions
            .map(|(region, file)| shared(region, &file))
            .collect();
        let regions = regions?;
        if regions.len() <= TABLE_REGIONS_MAX {
            return self.request(Request::SetMemTable(regions));
        }
        for region in regions {
            self.request(Request::AddMemReg(region))?;
        }
        Ok(())
    }

    /// Shares one region more.
    ///
    /// # Errors
    /// What requests fail with.
    pub fn add_region(&mut self, region: Region, file: impl AsFd) -> Result<(), FrontendError> {
        let region = shared(region, &file)?;
        self.request(Request::AddMemReg(region))
    }

    /// No longer shares a region.
    ///
    /// # Errors
    /// What requests fail with.
    pub fn remove_region(&mut self, region: Region) -> Result<(), FrontendError> {
        self.request(Request::RemMemReg(SharedRegion {
            guest_address: region.guest.0,
            size: region.size,
            user_address: region.user.0,
            mmap_offset: 0,
            file: (),
        }))
    }

    /// Describes a ring and starts it; with `PROTOCOL_FEATURES` it waits for
    /// [`Frontend::enable_queue`].
    ///
    /// # Errors
    /// What requests fail with.
    pub fn start_queue(
        &mut self,
        index: u16,
        layout: Layout,
        position: Option<Position>,
        end: &QueueEnd,
    ) -> Result<(), FrontendError> {
        let number = u32::from(index);
        let num = u32::from(layout.size);
        self.request(Request::SetVringNum { index: number, num })?;
        if let Some(Position(base)) = position {
            self.request(Request::SetVringBase {
                index: number,
                base,
            })?;
        }
        self.set_addresses(index, layout, None)?;
        let fd = |notifier: &Notifier| -> Result<_, FrontendError> {
            let index = u8::try_from(index).map_err(|_| Errno::INVAL)?;
            let file = Some(notifier.share()?);
            Ok(VringFd { index, file })
        };
        self.request(Request::SetVringErr(fd(&end.error)?))?;
        self.request(Request::SetVringCall(fd(&end.call)?))?;
        self.request(Request::SetVringKick(fd(&end.kick)?))
    }

    /// Says where a ring is; it may be running. With `log`, writes to its used ring are marked in the
    /// migration log as if it began at that address.
    ///
    /// # Errors
    /// What requests fail with.
    pub fn set_addresses(
        &mut self,
        index: u16,
        layout: Layout,
        log: Option<GuestAddress>,
    ) -> Result<(), FrontendError> {
        self.request(Request::SetVringAddr(RingAddresses {
            index: u32::from(index),
            logged: log.is_some(),
            descriptor: layout.descriptors.0,
            used: layout.device.0,
            available: layout.driver.0,
            log: log.unwrap_or_default().0,
        }))
    }

    /// Enables or disables a ring.
    ///
    /// # Errors
    /// What requests fail with.
    pub fn enable_queue(&mut self, index: u16, enable: bool) -> Result<(), FrontendError> {
        let index = u32::from(index);
        self.request(Request::SetVringEnable { index, enable })
    }

    /// Stops a ring; afterwards nobody touches it. Returns where it goes on.
    ///
    /// # Errors
    /// What requests fail with.
    pub fn stop_queue(&mut self, index: u16) -> Result<Position, FrontendError> {
        let index = u32::from(index);
        match self.exchange(Request::GetVringBase { index })? {
            ReplyBody::Base {
                index: replied,
                base,
            } if replied == index => Ok(Position(base)),
            _ => Err(MessageError::Misplaced(Code::GET_VRING_BASE).into()),
        }
    }

    /// Has the back end make an area for descriptors in flight. The caller keeps the file.
    ///
    /// # Errors
    /// What requests fail with.
    pub fn make_inflight(
        &mut self,
        num_queues: u16,
        queue_size: u16,
    ) -> Result<(InflightArea, OwnedFd), FrontendError> {
        let wanted = InflightArea {
            mmap_size: 0,
            mmap_offset: 0,
            num_queues,
            queue_size,
        };
        match self.exchange(Request::GetInflightFd(wanted))? {
            ReplyBody::Inflight(area, Some(file)) => Ok((area, file)),
            _ => Err(MessageError::Misplaced(Code::GET_INFLIGHT_FD).into()),
        }
    }

    /// Gives the back end the area that an earlier one has used.
    ///
    /// # Errors
    /// What requests fail with.
    pub fn use_inflight(
        &mut self,
        area: InflightArea,
        file: impl AsFd,
    ) -> Result<(), FrontendError> {
        let file = fcntl_dupfd_cloexec(file, 0)?;
        self.request(Request::SetInflightFd(area, file))
    }

    /// Gives the back end a migration log. It is used once
    /// [`LOG_ALL`](crate::features::NetFeatures::LOG_ALL) is set.
    ///
    /// # Errors
    /// What requests fail with.
    pub fn set_log(&mut self, area: LogArea, file: impl AsFd) -> Result<(), FrontendError> {
        let file = fcntl_dupfd_cloexec(file, 0)?;
        self.exchange(Request::SetLogBase(area, file)).map(|_| ())
    }

    /// How many queue pairs the back end serves.
    ///
    /// # Errors
    /// What requests fail with.
    pub fn queue_pairs(&mut self) -> Result<u64, FrontendError> {
        self.ask(Request::GetQueueNum)
    }

    /// Bytes of the configuration space.
    ///
    /// # Errors
    /// [`FrontendError::Refused`] if it has no such bytes, and what requests fail with.
    pub fn config(&mut self, offset: u32, size: u32) -> Result<Vec<u8>, FrontendError> {
        let range = ConfigRange {
            offset,
            size,
            flags: 0,
        };
        let code = Code::GET_CONFIG;
        match self.exchange(Request::GetConfig(range))? {
            ReplyBody::Config(replied, bytes) if replied == range => Ok(bytes),
            ReplyBody::NoConfig => Err(FrontendError::Refused { code, status: 1 }),
            _ => Err(MessageError::Misplaced(code).into()),
        }
    }

    /// Opens the channel for the back end's requests; [`Frontend::back_end_request`] reads it.
    ///
    /// # Errors
    /// What requests fail with.
    pub fn open_back_channel(&mut self) -> Result<(), FrontendError> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        self.back_channel = Some(Connection::new(ours)?);
        self.request(Request::SetBackendReqFd(theirs))
    }

    /// The next request of the back end, if there is one.
    ///
    /// # Errors
    /// What a connection fails with; the channel is closed then.
    pub fn back_end_request(&mut self) -> Result<Option<BackendRequest<OwnedFd>>, FrontendError> {
        let Some(channel) = &mut self.back_channel else {
            return Ok(None);
        };
        match channel.receive(Instant::now()) {
            Ok(None) => Ok(None),
            Ok(Some(message)) => Ok(Some(BackendRequest::decode(message)?)),
            Err(error) => {
                self.back_channel = None;
                Err(error.into())
            }
        }
    }
}

fn shared(region: Region, file: &impl AsFd) -> Result<SharedRegion<OwnedFd>, Errno> {
    Ok(SharedRegion {
        guest_address: region.guest.0,
        size: region.size,
        user_address: region.user.0,
        mmap_offset: 0,
        file: fcntl_dupfd_cloexec(file, 0)?,
    })
}
