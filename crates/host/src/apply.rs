//! A document becomes the desired state, and that real.
//!
//! What can fail does so first: the document is read and the policy compiled before anything else is
//! as it was. Then the desired state is in the store, then in force, on all NICs at once, and then
//! devices follow.

use std::collections::BTreeSet;
use std::sync::Arc;

use flow::PortId;
use model::{Difference, GuestKind, NicName, Topology};

use crate::agent::{Agent, Desired, Read, State};
use crate::api::{ApplyRequest, ApplyResult};
use crate::error::RequestError;
use crate::limits;
use crate::ports;
use crate::uplink::Found;

impl Agent {
    /// Makes a document the desired state, and the desired state real.
    pub(crate) async fn apply(&self, request: &ApplyRequest) -> Result<ApplyResult, RequestError> {
        let Read {
            topology, warnings, ..
        } = self.read(request).await?;
        let flows_max = limits::flows_max(&topology.host);
        if flows_max != self.flows_max {
            return Err(RequestError::Conflict(format!(
                "host.flows is {flows_max} there and {} here, and cannot change while the agent \
                 runs; end it and start it with `clearway up TOPOLOGY`, which also ends the flows \
                 it holds",
                self.flows_max
            )));
        }
        let mut state = self.state.lock().await;
        let Difference { changes } = model::difference(&state.desired.topology, &topology);
        let mut result = ApplyResult {
            applied: false,
            changes,
            warnings,
            problems: Vec::new(),
            generation: state.snapshot.generation(),
        };
        if request.dry_run {
            return Ok(result);
        }
        let found = self.find_uplink(&topology).await;
        let (wanted, gone) = self.wanted(&state, topology, &found, request.reevaluate)?;
        self.put_in_force(&mut state, wanted).await?;
        self.remove_nics(&mut state, &gone).await;
        result.problems = self.realize_all(&mut state, found).await?;
        result.applied = true;
        result.generation = state.snapshot.generation();
        Ok(result)
    }

    /// Makes everything real that the store holds: the first step of an agent's life.
    pub(crate) async fn resume(&self) -> Result<Vec<String>, RequestError> {
        let mut state = self.state.lock().await;
        let found = self.find_uplink(&state.desired.topology).await;
        let mut wanted = state.desired.clone();
        wanted.note_underlay(&found);
        self.put_in_force(&mut state, wanted).await?;
        self.realize_all(&mut state, found).await
    }

    /// Reads a document. Who only asks what it would change comes back with the same one, to apply
    /// it; so that is kept until then.
    async fn read(&self, request: &ApplyRequest) -> Result<Read, RequestError> {
        let mut last = self.read.lock().await;
        let same =
            |read: &Read| read.source == request.source && read.file_name == request.file_name;
        if let Some(read) = last.take_if(|read| same(read)) {
            return Ok(read);
        }
        let checked = model::parse(&request.source, &request.file_name).map_err(|found| {
            let details = found.diagnostics;
            let errors = details
                .iter()
                .filter(|one| one.severity == model::Severity::Error);
            RequestError::Topology {
                count: errors.count(),
                details,
            }
        })?;
        let topology = Arc::new(checked.topology);
        let warnings = checked.warnings.diagnostics;
        *last = request.dry_run.then(|| Read {
            source: request.source.clone(),
            file_name: request.file_name.clone(),
            topology: Arc::clone(&topology),
            warnings: warnings.clone(),
        });
        Ok(Read {
            source: String::new(),
            file_name: String::new(),
            topology,
            warnings,
        })
    }

    /// The desired state with this topology, and the NICs that are no longer wanted then.
    fn wanted(
        &self,
        state: &State,
        topology: Arc<Topology>,
        found: &Found,
        reevaluate: bool,
    ) -> Result<(Desired, Vec<(NicName, PortId)>), RequestError> {
        let mut wanted = state.desired.clone();
        let old = Arc::clone(&wanted.topology);
        let gone = if old.guests == topology.guests {
            Vec::new()
        } else {
            self.want_guests(&mut wanted, &old, &topology)?
        };
        model::advance(&mut wanted.generations, Some(&old), &topology, reevaluate);
        wanted.topology = topology;
        wanted.note_underlay(found);
        Ok((wanted, gone))
    }

    /// What goes with the guests of a topology. Returns the NICs that are no longer wanted.
    fn want_guests(
        &self,
        wanted: &mut Desired,
        old: &Topology,
        topology: &Topology,
    ) -> Result<Vec<(NicName, PortId)>, RequestError> {
        let nics: BTreeSet<NicName> = topology.nics().map(|(name, ..)| name).collect();
        let mut gone = ports::assign(Arc::make_mut(&mut wanted.ports), &nics)
            .map_err(|error| RequestError::Conflict(error.to_string()))?;
        // A guest that changed its kind is another guest: its devices are made anew.
        for (name, guest, _) in topology.nics() {
            let before = old.guests.get(name.guest());
            if let Some(port) = wanted.ports.get(&name)
                && before.is_some_and(|before| before.kind != guest.kind)
            {
                gone.push((name, *port));
            }
        }
        wanted.revoked.retain(|name, _| nics.contains(name));
        wanted
            .attached
            .retain(|guest, _| topology.guests.contains_key(guest));
        self.claim_namespaces(wanted, topology);
        Ok(gone)
    }

    /// Notes all namespaces that are to be made before the first of them is: one too many to remove
    /// does no harm. Those that are there already are someone else's.
    fn claim_namespaces(&self, wanted: &mut Desired, topology: &Topology) {
        let guests = topology.guests.iter();
        let ours = guests.filter(|(_, guest)| guest.kind == GuestKind::Netns);
        let free: Vec<String> = ours
            .map(|(name, _)| self.paths.namespace_of(name))
            .filter(|name| !wanted.namespaces.contains(name))
            .filter(|name| {
                netdev::NamespaceName::new(name)
                    .is_ok_and(|name| !netdev::netns::Namespace::exists(&name))
            })
            .collect();
        if !free.is_empty() {
            Arc::make_mut(&mut wanted.namespaces).extend(free);
        }
    }
}
