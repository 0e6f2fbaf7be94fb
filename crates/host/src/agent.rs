//! Desired state, observed state, and who may change them.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use flow::{PortId, PortMode};
use jiff::Timestamp;
use model::{Diagnostic, Expansions, Generations, NicName, Topology};
use policy::{Compiler, Snapshot};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, Notify};

use crate::Paths;
use crate::api::{TakenOver, VfState};
use crate::dataplane::Handle;
use crate::devices::Devices;
use crate::error::RequestError;
use crate::guest::HostNetwork;
use crate::publish::Told;
use crate::settled::Settled;
use crate::store::{Kept, Store};
use crate::uplink::{Underlay, UplinkState};

/// The agent of one instance.
pub(crate) struct Agent {
    pub(crate) paths: Paths,
    pub(crate) store: Store,
    pub(crate) network: Arc<HostNetwork>,
    pub(crate) plane: Handle,
    pub(crate) engine: String,
    /// What flow table and engine were made for.
    pub(crate) flows_max: NonZeroU32,
    pub(crate) started: Timestamp,
    pub(crate) taken_over: TakenOver,
    /// Frames that the kernel had dropped before the device for exceptions when this agent began.
    pub(crate) exceptions_dropped_before: u64,
    /// One change at a time; reads wait for it, so that they see it whole.
    pub(crate) state: Mutex<State>,
    /// The document that somebody has asked about last, and not yet applied.
    pub(crate) read: Mutex<Option<Read>>,
    /// Told when the agent is to end after having removed everything.
    pub(crate) down: Notify,
}

/// What changes.
pub(crate) struct State {
    pub(crate) desired: Desired,
    /// What of it is in the store.
    pub(crate) kept: Kept,
    pub(crate) expansions: Expansions,
    pub(crate) compiler: Compiler,
    pub(crate) snapshot: Arc<Snapshot>,
    /// What the data plane was told beside it; None when that is not known.
    pub(crate) told: Option<Told>,
    pub(crate) observed: BTreeMap<NicName, Observed>,
    /// The host's devices.
    pub(crate) devices: Devices,
    /// NICs that need not be made real again.
    pub(crate) settled: Settled,
    pub(crate) uplink: UplinkState,
}

/// What is kept in the store. To clone it, and to see that a large part is the same, costs next to
/// nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Desired {
    pub(crate) topology: Arc<Topology>,
    pub(crate) ports: Arc<BTreeMap<NicName, PortId>>,
    pub(crate) generations: Generations,
    pub(crate) revoked: BTreeMap<NicName, Revocation>,
    /// The namespaces of attached guests.
    pub(crate) attached: BTreeMap<String, PathBuf>,
    /// The namespaces that we made, and are ours to remove.
    pub(crate) namespaces: Arc<BTreeSet<String>>,
    /// What the uplink's interface was when it was last there.
    pub(crate) underlay: Option<Underlay>,
}

/// A document that has been read, and found good.
pub(crate) struct Read {
    pub(crate) source: String,
    pub(crate) file_name: String,
    pub(crate) topology: Arc<Topology>,
    pub(crate) warnings: Vec<Diagnostic>,
}

/// A VF that an operator took away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Revocation {
    pub(crate) reason: String,
    pub(crate) since: Timestamp,
}

/// What was last seen of a NIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Observed {
    /// Who serves it; None when it has no device.
    pub(crate) mode: Option<PortMode>,
    /// The host's device.
    pub(crate) device: Option<String>,
    /// Why it has no device.
    pub(crate) problem: Option<String>,
    /// When the mode last changed.
    pub(crate) since: Timestamp,
}

impl State {
    /// The NIC that a client means: `guest/nic`, or a guest with one NIC.
    pub(crate) fn find_nic(&self, guest: &str, nic: &str) -> Result<NicName, RequestError> {
        let Some(found) = self.desired.topology.guests.get(guest) else {
            return Err(RequestError::GuestNotFound(guest.to_owned()));
        };
        if nic != "-" {
            let name = NicName::of(guest, nic);
            let exists = found.nics.iter().any(|candidate| candidate.name == nic);
            return if exists {
                Ok(name)
            } else {
                Err(RequestError::NicNotFound(name.to_string()))
            };
        }
        match found.nics.as_slice() {
            [only] => Ok(NicName::of(guest, &only.name)),
            several => {
                let names: Vec<_> = several
                    .iter()
                    .map(|nic| format!("{guest}/{}", nic.name))
                    .collect();
                Err(RequestError::NicAmbiguous(
                    guest.to_owned(),
                    names.join(", "),
                ))
            }
        }
    }

    /// The same from one text.
    pub(crate) fn find_nic_named(&self, text: &str) -> Result<NicName, RequestError> {
        let (guest, nic) = text.split_once('/').unwrap_or((text, "-"));
        self.find_nic(guest, nic)
    }

    /// The port of a NIC.
    pub(crate) fn port(&self, name: &NicName) -> Result<PortId, RequestError> {
        let port = self.desired.ports.get(name).copied();
        port.ok_or_else(|| RequestError::NicNotFound(name.to_string()))
    }

    /// Who is to serve a NIC.
    pub(crate) fn wanted_mode(&self, name: &NicName) -> PortMode {
        let desired = self
            .desired
            .topology
            .nic(name)
            .is_some_and(|nic| nic.accelerated_networking);
        if desired && !self.desired.revoked.contains_key(name) {
            PortMode::Accelerated
        } else {
            PortMode::Synthetic
        }
    }

    /// The accelerated path of a NIC, desired and observed, and why they differ.
    pub(crate) fn vf(&self, name: &NicName) -> VfState {
        let desired = self
            .desired
            .topology
            .nic(name)
            .is_some_and(|nic| nic.accelerated_networking);
        let observed = self.observed.get(name);
        let revoked = self.desired.revoked.get(name);
        let (text, reason) = match observed.and_then(|observed| observed.mode) {
            Some(PortMode::Accelerated) => ("accelerated", None),
            Some(PortMode::Synthetic) => {
                let reason = match revoked {
                    Some(revocation) => format!("VF revoked: {}", revocation.reason),
                    None if !desired => "acceleratedNetworking is off".to_owned(),
                    None => "the engine has not taken it yet".to_owned(),
                };
                ("synthetic", Some(reason))
            }
            None => {
                let problem = observed.and_then(|observed| observed.problem.clone());
                (
                    "down",
                    Some(problem.unwrap_or_else(|| "not attached".to_owned())),
                )
            }
        };
        VfState {
            desired,
            observed: text.to_owned(),
            reason,
            since: observed.map_or(Timestamp::UNIX_EPOCH, |observed| observed.since),
        }
    }

    /// Notes what was seen of a NIC; the time moves only when the mode does.
    pub(crate) fn observe(
        &mut self,
        name: &NicName,
        mode: Option<PortMode>,
        device: Option<String>,
        problem: Option<String>,
    ) {
        let before = self.observed.get(name);
        let since = match before {
            Some(before) if before.mode == mode => before.since,
            _ => Timestamp::now(),
        };
        self.observed.insert(
            name.clone(),
            Observed {
                mode,
                device,
                problem,
                since,
            },
        );
    }
}
