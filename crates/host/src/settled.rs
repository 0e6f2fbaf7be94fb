//! Which NICs are as they are to be, so that a change of policy on a host with many does not go to
//! the kernel for each of them.

use std::collections::BTreeMap;

use model::NicName;
use netdev::NamespaceName;
use netdev::netns::Namespace;

use crate::guest::{HostEnd, NicPlan, Place};

/// NICs as they were made real last, by this agent.
#[derive(Debug, Default)]
pub(crate) struct Settled(BTreeMap<NicName, (Place, NicPlan, HostEnd)>);

/// The devices of the host that are up, and their interface indices.
pub(crate) type DevicesUp = BTreeMap<String, u32>;

impl Settled {
    /// A NIC has been made real.
    pub(crate) fn note(&mut self, name: &NicName, place: &Place, plan: NicPlan, end: HostEnd) {
        self.0.insert(name.clone(), (place.clone(), plan, end));
    }

    /// A NIC has gone, or is not as it was.
    pub(crate) fn forget(&mut self, name: &NicName) {
        self.0.remove(name);
    }

    /// Whether this NIC was made just like this, and its device is still there. A namespace that is
    /// someone else's may be another one by now, which its path does not tell.
    pub(crate) fn holds(
        &self,
        name: &NicName,
        place: &Place,
        plan: &NicPlan,
        devices: &DevicesUp,
        device: &str,
    ) -> bool {
        let there = match place {
            Place::TheirNamespace(_) => false,
            Place::Tap => true,
            Place::OurNamespace(name) => {
                NamespaceName::new(name).is_ok_and(|name| Namespace::exists(&name))
            }
        };
        let same = |(known, made, end): &(Place, NicPlan, HostEnd)| {
            known == place && made == plan && devices.get(device) == Some(&end.link)
        };
        there && self.0.get(name).is_some_and(same)
    }
}
