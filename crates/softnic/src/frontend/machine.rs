//! A guest's worth of requests, for one connection after another.

use std::os::fd::OwnedFd;

use vring::driver::{Arena, Driver, Setup, SetupError};
use vring::queue::Position;

use super::{Frontend, FrontendError};
use crate::features::{NetFeatures, ProtocolFeatures};
use crate::notifier::{Notifier, NotifierError};
use crate::protocol::InflightArea;

/// A guest: memory, queues that its driver uses, and what outlives a back end.
pub struct Machine {
    arena: Arena,
    features: NetFeatures,
    queues: Vec<MachineQueue>,
    queue_size: u16,
    inflight: Option<(InflightArea, OwnedFd)>,
}

struct MachineQueue {
    driver: Driver,
    end: QueueEnd,
    /// Where the back end left it, if it had the time to say.
    position: Option<Position>,
}

/// The driver's ends of a queue's signals.
#[derive(Clone, Debug)]
pub struct QueueEnd {
    /// The driver signals it.
    pub kick: Notifier,
    /// The device signals it.
    pub call: Notifier,
    /// The device signals it when it cannot go on.
    pub error: Notifier,
}

/// Why there is no such machine.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// A queue cannot be laid out.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A signal cannot be had.
    #[error(transparent)]
    Notifier(#[from] NotifierError),
}

impl QueueEnd {
    /// Three new event descriptors.
    ///
    /// # Errors
    /// [`NotifierError::System`] for want of descriptors.
    pub fn new() -> Result<Self, NotifierError> {
        Ok(Self {
            kick: Notifier::new()?,
            call: Notifier::new()?,
            error: Notifier::new()?,
        })
    }
}

impl Machine {
    /// A machine with `queues` queues of one size in `arena`. `features` are those that its driver
    /// insists on; `setup.features` is not looked at.
    ///
    /// # Errors
    /// What [`MachineError`] lists.
    pub fn new(
        mut arena: Arena,
        features: NetFeatures,
        queues: u16,
        setup: Setup,
    ) -> Result<Self, MachineError> {
        let setup = Setup {
            features: features.rings(),
            ..setup
        };
        let queues = (0..queues).map(|_| -> Result<_, MachineError> {
            Ok(MachineQueue {
                driver: Driver::new(&mut arena, setup)?,
                end: QueueEnd::new()?,
                position: None,
            })
        });
        let queues = queues.collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            arena,
            features,
            queues,
            queue_size: setup.size,
            inflight: None,
        })
    }

    /// Brings the whole machine up on a new connection: negotiates, shares memory, sets up the area for
    /// descriptors in flight (the one from before, if there was one), starts and enables all queues.
    ///
    /// # Errors
    /// What requests fail with.
    pub fn attach(&mut self, frontend: &mut Frontend) -> Result<(), FrontendError> {
        frontend.negotiate(
            self.features,
            NetFeatures::default(),
            ProtocolFeatures::SUPPORTED,
        )?;
        frontend.share(self.arena.regions())?;
        if frontend
            .protocol_features()
            .has(ProtocolFeatures::INFLIGHT_SHMFD)
        {
            self.track(frontend)?;
        }
        for (index, queue) in (0..).zip(&mut self.queues) {
            let layout = queue.driver.layout();
            frontend.start_queue(index, layout, queue.position.take(), &queue.end)?;
        }
        if frontend.features().has(NetFeatures::PROTOCOL_FEATURES) {
            for (index, _) in (0..).zip(&self.queues) {
                frontend.enable_queue(index, true)?;
            }
        }
        Ok(())
    }

    /// Stops all queues, to go on where they are on another connection.
    ///
    /// # Errors
    /// What requests fail with.
    pub fn detach(&mut self, frontend: &mut Frontend) -> Result<(), FrontendError> {
        for (index, queue) in (0..).zip(&mut self.queues) {
            queue.position = Some(frontend.stop_queue(index)?);
        }
        Ok(())
    }

    /// The guest's memory.
    pub fn arena_mut(&mut self) -> &mut Arena {
        &mut self.arena
    }

    /// The guest's memory, to look at.
    #[must_use]
    pub fn arena(&self) -> &Arena {
        &self.arena
    }

    /// The driver of a queue, and its signals; none if there is no such queue.
    pub fn queue_mut(&mut self, index: u16) -> Option<(&mut Driver, &QueueEnd)> {
        let queue = self.queues.get_mut(usize::from(index))?;
        Some((&mut queue.driver, &queue.end))
    }

    fn track(&mut self, frontend: &mut Frontend) -> Result<(), FrontendError> {
        if let Some((area, file)) = &self.inflight {
            return frontend.use_inflight(*area, file);
        }
        let queues = u16::try_from(self.queues.len()).unwrap_or(u16::MAX);
        let made = frontend.make_inflight(queues, self.queue_size)?;
        let (area, file) = self.inflight.insert(made);
        frontend.use_inflight(*area, &*file)
    }
}
