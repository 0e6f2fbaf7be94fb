use std::net::IpAddr;
use std::sync::atomic::Ordering::{Relaxed, Release};

use flow::{DropCounters, PortId, PortMode};

use crate::abi::{DROPPED_BY_PROGRAM, PORT_DROPS_TO_AGENT, Uplink};
use crate::attach::{self, FROM_UPLINK};
use crate::engine::{BpfEngine, program};
use crate::{AttachError, MapError};

/// The device that joins this host to others by VXLAN (RFC 7348).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UplinkAttachment {
    /// The device: an index in the network namespace of the caller.
    pub ifindex: u32,
    /// The host's provider address. The kernel must own it, and know the way to the others'.
    pub address: IpAddr,
    /// The UDP port VXLAN is sent to and received on; 4789 by assignment.
    pub vxlan_port: u16,
}

impl BpfEngine {
    /// Attaches the uplink, accelerated, or makes this the uplink in place of another; what is
    /// attached already is left as it is. What is not VXLAN to this address and port goes on to
    /// other programs and to the host's own stack.
    ///
    /// Frames that no entry covers are exceptions with the tag [`PortId::UPLINK`], outer headers
    /// included, within a budget of their own.
    pub fn attach_uplink(&mut self, uplink: UplinkAttachment) -> Result<(), AttachError> {
        let UplinkAttachment {
            ifindex,
            address,
            vxlan_port,
        } = uplink;
        if vxlan_port == 0 {
            return Err(AttachError::VxlanPort);
        }
        if let Some(port) = self.port_on(ifindex).filter(|&port| port != PortId::UPLINK) {
            return Err(AttachError::DeviceTaken { ifindex, port });
        }
        if ifindex == self.maps.agent()?.exception_ifindex.load(Relaxed) {
            return Err(AttachError::ExceptionDevice(ifindex));
        }
        let before = self.uplink;
        if before.ifindex != ifindex {
            self.detach_uplink()?;
            let entry = self.maps.port(PortId::UPLINK)?;
            entry.set_flag(PORT_DROPS_TO_AGENT, false);
            entry.set_mode(PortMode::Accelerated);
            self.budgets.write(entry);
        }
        // Until its program runs nothing comes in, and until the port is there nothing goes out.
        self.publish(Uplink::new(ifindex, address, vxlan_port))?;
        let program = program(&mut self.programs, FROM_UPLINK);
        let link = self.pins.uplink_link(ifindex);
        if let Err(error) = attach::attach(program, FROM_UPLINK, self.hook, ifindex, &link) {
            self.publish(self.uplink.without_device())?;
            return Err(error);
        }
        self.maps
            .port(PortId::UPLINK)?
            .ifindex
            .store(ifindex, Release);
        Ok(())
    }

    /// Takes the program off the uplink. Flows that leave the host are exceptions from then on, and
    /// new ones are refused. Without an uplink nothing happens.
    pub fn detach_uplink(&mut self) -> Result<(), AttachError> {
        let Some(ifindex) = self.uplink_device() else {
            return Ok(());
        };
        self.maps.port(PortId::UPLINK)?.ifindex.store(0, Release);
        attach::detach(FROM_UPLINK, ifindex, &self.pins.uplink_link(ifindex))?;
        // The rest stays: entries are read with it.
        self.publish(self.uplink.without_device())?;
        Ok(())
    }

    /// The index of the uplink's device.
    pub fn uplink_device(&self) -> Option<u32> {
        (self.uplink.ifindex != 0).then_some(self.uplink.ifindex)
    }

    /// What the program on the uplink dropped by itself: what belongs to no segment. Each frame is
    /// counted with its outer headers, whichever uplink it came from, since the instance was made.
    pub fn uplink_drops(&self) -> Result<DropCounters, MapError> {
        let mut drops = DropCounters::default();
        for reason in DROPPED_BY_PROGRAM {
            for cpu in self.maps.uplink_drops.lookup(reason.number().into())? {
                drops.add(reason, cpu.packets, cpu.bytes);
            }
        }
        Ok(drops)
    }

    /// The uplink that is attached.
    pub(crate) fn uplink_attachment(&self) -> Option<UplinkAttachment> {
        self.uplink_device().map(|ifindex| UplinkAttachment {
            ifindex,
            address: self.uplink.address(),
            vxlan_port: self.uplink.vxlan_port(),
        })
    }

    fn publish(&mut self, uplink: Uplink) -> Result<(), MapError> {
        self.maps.uplink.update(&0, &uplink)?;
        self.uplink = uplink;
        Ok(())
    }
}
