use std::sync::atomic::Ordering::{Relaxed, Release};

use flow::{PortId, PortMode};

use crate::abi::{DEVICE_SLOTS, DeviceSlot, PORT_DROPS_TO_AGENT};
use crate::attach::{self, FROM_GUEST};
use crate::engine::{BpfEngine, program};
use crate::{AttachError, DeviceKind, MapError, PortAttachment};

/// The device of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) ifindex: u32,
    pub(crate) kind: DeviceKind,
}

impl BpfEngine {
    /// Attaches a port, synthetic and with generations of zero; or, if it is on this device
    /// already, gives it these addresses and leaves the rest. A port that was on another device is
    /// detached from it, and keeps what was counted for it.
    pub fn attach(&mut self, attachment: PortAttachment) -> Result<(), AttachError> {
        let PortAttachment {
            port,
            ifindex,
            kind,
            ..
        } = attachment;
        if port == PortId(0) || port > PortId::MAX {
            return Err(AttachError::PortNumber(port));
        }
        if let Some(port) = self.port_on(ifindex).filter(|&taken| taken != port) {
            return Err(AttachError::DeviceTaken { ifindex, port });
        }
        let moves = self.device(port).is_some_and(|device| device != ifindex);
        if moves {
            self.detach(port)?;
        }
        let fresh = !self.devices.contains_key(&port);
        if fresh {
            self.enter(attachment)?;
            // The guest is another, unless it is the same with another device.
            if !moves {
                self.maps.port_stats.clear(u32::from(port.0))?;
            }
        } else {
            self.describe(attachment)?;
        }
        let program = program(&mut self.programs, FROM_GUEST);
        let link = self.pins.link(ifindex);
        if let Err(error) = attach::attach(program, FROM_GUEST, self.hook, ifindex, &link) {
            if fresh {
                self.forget(port, ifindex)?;
            }
            return Err(error);
        }
        self.devices.insert(port, Device { ifindex, kind });
        Ok(())
    }

    /// The index of the device a port is attached to.
    pub fn device(&self, port: PortId) -> Option<u32> {
        self.devices.get(&port).map(|device| device.ifindex)
    }

    /// Detaches a port. No entry from or to it acts again, whoever has its number next; they are
    /// taken out by and by ([`BpfEngine::heartbeat`]), unless somebody else does it sooner. A port
    /// that is not attached is left alone.
    pub fn detach(&mut self, port: PortId) -> Result<(), AttachError> {
        let Some(&Device { ifindex, .. }) = self.devices.get(&port) else {
            return Ok(());
        };
        // From here no entry delivers to it.
        self.maps.port(port)?.set_mode(PortMode::Synthetic);
        attach::detach(FROM_GUEST, ifindex, &self.pins.link(ifindex))?;
        self.devices.remove(&port);
        self.forget(port, ifindex)?;
        Ok(())
    }

    /// The port that has this device; [`PortId::UPLINK`] if it is the uplink.
    pub(crate) fn port_on(&self, ifindex: u32) -> Option<PortId> {
        if ifindex != 0 && self.uplink.ifindex == ifindex {
            return Some(PortId::UPLINK);
        }
        let mut devices = self.devices.iter();
        devices
            .find(|(_, device)| device.ifindex == ifindex)
            .map(|(&port, _)| port)
    }

    /// Writes down a port that is new on this device.
    fn enter(&mut self, attachment: PortAttachment) -> Result<(), MapError> {
        let PortAttachment { port, ifindex, .. } = attachment;
        let entry = self.maps.port(port)?;
        entry.set_mode(PortMode::Synthetic);
        entry.set_flag(PORT_DROPS_TO_AGENT, false);
        entry.policy_generation.store(0, Relaxed);
        entry.path_generation.store(0, Relaxed);
        self.describe(attachment)?;
        self.disown(port)?;
        let number = u32::from(port.0);
        self.maps.port(port)?.ifindex.store(ifindex, Release);
        self.maps.devices.update(&ifindex, &number)?;
        self.claim_slot(ifindex, number)
    }

    fn describe(&self, attachment: PortAttachment) -> Result<(), MapError> {
        let entry = self.maps.port(attachment.port)?;
        entry.set_macs(attachment.mac, attachment.router_mac);
        entry.set_kind(attachment.kind);
        self.budgets.write(entry);
        Ok(())
    }

    /// Strikes a port out that has no program any more.
    fn forget(&mut self, port: PortId, ifindex: u32) -> Result<(), MapError> {
        self.maps.port(port)?.ifindex.store(0, Release);
        self.disown(port)?;
        self.maps.devices.delete(&ifindex)?;
        let index = ifindex % DEVICE_SLOTS;
        let slot = self.maps.device_slots.lookup(&index)?;
        if slot.is_some_and(|slot| slot.ifindex == ifindex) {
            let vacant = DeviceSlot {
                ifindex: 0,
                port: 0,
            };
            self.maps.device_slots.update(&index, &vacant)?;
        }
        Ok(())
    }

    /// Makes what has been installed so far from and to a port act no more.
    fn disown(&mut self, port: PortId) -> Result<(), MapError> {
        // What is installed but not activated is of this batch.
        self.batch += 1;
        self.maps.port(port)?.since.store(self.batch, Release);
        self.sweep_again();
        Ok(())
    }

    /// Gives a device its slot, unless an older one has it: then it is found by hashing.
    pub(crate) fn claim_slot(&self, ifindex: u32, port: u32) -> Result<(), MapError> {
        let index = ifindex % DEVICE_SLOTS;
        let slot = self.maps.device_slots.lookup(&index)?;
        let is_vacant = slot.is_none_or(|slot| slot.ifindex == 0 || slot.ifindex == ifindex);
        if is_vacant {
            let slot = DeviceSlot { ifindex, port };
            self.maps.device_slots.update(&index, &slot)?;
        }
        Ok(())
    }
}
