//! Which NICs are as they are to be, so that a change of policy on a host with many does not go to
//! the kernel for each of them, nor look at each for long.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Guest, NicName, Topology};
use netdev::NamespaceName;
use netdev::netns::Namespace;

use crate::guest::{HostEnd, NicPlan, Place};

/// NICs as they were made real last, by this agent.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    nics: BTreeMap<NicName, Made>,
    /// What all of them were made for.
    topology: Arc<Topology>,
    uplink_mtu: Option<u16>,
}

/// A NIC as it was made.
#[derive(Debug)]
struct Made {
    place: Place,
    plan: NicPlan,
    end: HostEnd,
    /// The host's device.
    device: String,
}

/// The devices of the host that are up, and their interface indices.
pub(crate) type DevicesUp = BTreeMap<String, u32>;

/// What NICs were made for before, while they are being made for something else.
#[derive(Debug)]
pub(crate) struct Before {
    topology: Arc<Topology>,
    uplink_mtu: Option<u16>,
}

impl Before {
    /// Whether this guest, with this way to other hosts, is what its NICs were made for: those that
    /// are settled have the plan then that they would be given now.
    pub(crate) fn has(&self, name: &str, guest: &Guest, uplink_mtu: Option<u16>) -> bool {
        self.uplink_mtu == uplink_mtu && self.topology.guests.get(name) == Some(guest)
    }
}

impl Settled {
    /// NICs are looked at for something new. If that comes to no end, none is what it was before.
    pub(crate) fn begin(&mut self) -> Before {
        Before {
            topology: std::mem::take(&mut self.topology),
            uplink_mtu: self.uplink_mtu.take(),
        }
    }

    /// All that are settled are so for this.
    pub(crate) fn finish(&mut self, topology: Arc<Topology>, uplink_mtu: Option<u16>) {
        (self.topology, self.uplink_mtu) = (topology, uplink_mtu);
    }

    /// A NIC has been made real.
    pub(crate) fn note(
        &mut self,
        name: &NicName,
        place: Place,
        plan: NicPlan,
        end: HostEnd,
        device: String,
    ) {
        let made = Made {
            place,
            plan,
            end,
            device,
        };
        self.nics.insert(name.clone(), made);
    }

    /// A NIC has gone, or is not as it was.
    pub(crate) fn forget(&mut self, name: &NicName) {
        self.nics.remove(name);
    }

    /// Whether this NIC's device is still there. A namespace that is someone else's may be another
    /// one by now, which its path does not tell.
    pub(crate) fn stands(&self, name: &NicName, devices: &DevicesUp) -> bool {
        self.nics.get(name).is_some_and(|made| made.stands(devices))
    }

    /// Whether this NIC was made just like this, and its device is still there.
    pub(crate) fn holds(
        &self,
        name: &NicName,
        place: &Place,
        plan: &NicPlan,
        devices: &DevicesUp,
    ) -> bool {
        let as_made = |made: &&Made| made.place == *place && made.plan == *plan;
        let made = self.nics.get(name).filter(as_made);
        made.is_some_and(|made| made.stands(devices))
    }
}

impl Made {
    fn stands(&self, devices: &DevicesUp) -> bool {
        let there = match &self.place {
            Place::TheirNamespace(_) => false,
            Place::Tap => true,
            Place::OurNamespace(name) => {
                NamespaceName::new(name).is_ok_and(|name| Namespace::exists(&name))
            }
        };
        there && devices.get(&self.device) == Some(&self.end.link)
    }
}
