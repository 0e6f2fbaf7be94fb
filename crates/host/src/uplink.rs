//! The uplink: the interface by which other hosts are reached, watched and made use of.
//!
//! It is someone else's: the agent brings no interface up and gives none an address. It uses what
//! is there, says what is missing, and follows what changes. While the interface is away, flows are
//! kept and what is sent is counted as dropped.

mod holder;
mod interface;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bpf::UplinkAttachment;
use jiff::Timestamp;
use model::{Topology, Uplink};
use netdev::changes::Changes;
use netdev::netns::Namespace;
use netdev::underlay::{UnderlaySender, reserve_port};
use serde::{Deserialize, Serialize};

use crate::agent::{Agent, Desired, State};
use crate::error::RequestError;

pub(crate) use interface::Found;

/// How often the interface is looked at without news of it.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// News that come together are one.
const SETTLE: Duration = Duration::from_millis(50);

/// The underlay's MTU, as it was last seen. Flows keep it while the interface is away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Underlay {
    pub(crate) interface: String,
    pub(crate) mtu: u16,
}

/// What is made of the uplink.
#[derive(Debug, Default)]
pub(crate) struct UplinkState {
    /// What the data plane works with; None while there is a problem, or no uplink.
    connected: Option<UplinkAttachment>,
    /// Why it does not work.
    pub(crate) problem: Option<String>,
    /// When it began to work, or not to.
    pub(crate) since: Option<Timestamp>,
    /// The port that nobody else may take.
    reserved: Option<(SocketAddr, OwnedFd)>,
}

impl UplinkState {
    /// Whether frames pass.
    pub(crate) fn is_up(&self) -> bool {
        self.connected.is_some()
    }

    fn note(&mut self, connected: Option<UplinkAttachment>, problem: Option<String>) {
        if self.connected != connected || self.problem.is_some() != problem.is_some() {
            self.since = Some(Timestamp::now());
        }
        (self.connected, self.problem) = (connected, problem);
    }
}

impl Desired {
    /// What the uplink's interface takes, as far as it was ever seen.
    pub(crate) fn underlay_mtu(&self) -> Option<u16> {
        let uplink = self.topology.uplink.as_ref()?;
        let seen = self.underlay.as_ref()?;
        (seen.interface == uplink.interface).then_some(seen.mtu)
    }

    /// The largest packet that guests can send to other hosts.
    pub(crate) fn uplink_mtu(&self) -> Option<u16> {
        let uplink = self.topology.uplink.as_ref()?;
        Some(uplink.mtu(self.underlay_mtu()?))
    }

    /// Remembers the MTU of the interface that was found. True when paths have changed by it.
    pub(crate) fn note_underlay(&mut self, found: &Found) -> bool {
        let Found::Ready { interface, mtu, .. } = found else {
            return false;
        };
        let before = self.underlay_mtu();
        self.underlay = Some(Underlay {
            interface: interface.clone(),
            mtu: *mtu,
        });
        let changed = before != self.underlay_mtu();
        if changed {
            self.generations.advance_paths();
        }
        changed
    }
}

impl Agent {
    /// Looks for the interface that the topology names.
    pub(crate) async fn find_uplink(&self, topology: &Topology) -> Found {
        match &topology.uplink {
            Some(uplink) => self.network.find_uplink(uplink).await,
            None => Found::Unwanted,
        }
    }

    /// Makes use of what was found, or of it no longer. What keeps it from being used is noted.
    pub(crate) async fn realize_uplink(
        &self,
        state: &mut State,
        found: Found,
    ) -> Result<(), RequestError> {
        let link = match (&state.desired.topology.uplink, found) {
            (Some(uplink), Found::Ready { link, .. }) => Ok((uplink.clone(), link)),
            (_, Found::Missing(problem)) => Err(Some(problem)),
            (None, _) | (_, Found::Unwanted) => Err(None),
        };
        let connected = match link {
            Ok((uplink, link)) => self
                .connect_uplink(state, &uplink, link)
                .await
                .map_err(|error| Some(format!("{error:#}"))),
            Err(problem) => Err(problem),
        };
        match connected {
            Ok(attachment) => state.uplink.note(Some(attachment), None),
            Err(problem) => {
                if let Some(problem) = &problem
                    && state.uplink.problem.as_ref() != Some(problem)
                {
                    tracing::warn!(problem, "uplink is down");
                }
                self.disconnect_uplink(state).await?;
                state.uplink.note(None, problem);
            }
        }
        Ok(())
    }

    /// Follows the uplink's interface until the agent ends.
    pub(crate) async fn follow_uplink(self: Arc<Self>) {
        let mut changes = match Namespace::current().and_then(|here| Changes::listen(&here)) {
            Ok(changes) => changes,
            Err(error) => {
                tracing::warn!(%error, "the uplink's interface is not watched");
                return;
            }
        };
        loop {
            changes.next(LOOK_EVERY).await;
            tokio::time::sleep(SETTLE).await;
            if let Err(error) = self.look_at_uplink().await {
                tracing::warn!(%error, "cannot follow the uplink's interface");
            }
        }
    }

    /// Takes notice of a changed interface.
    async fn look_at_uplink(&self) -> Result<(), RequestError> {
        let mut state = self.state.lock().await;
        let found = self.find_uplink(&state.desired.topology).await;
        let mut wanted = state.desired.clone();
        if wanted.note_underlay(&found) {
            tracing::info!(mtu = wanted.uplink_mtu(), "underlay has another MTU");
            self.put_in_force(&mut state, wanted).await?;
            self.realize(&mut state).await?;
        }
        self.realize_uplink(&mut state, found).await
    }

    async fn connect_uplink(
        &self,
        state: &mut State,
        uplink: &Uplink,
        link: u32,
    ) -> anyhow::Result<UplinkAttachment> {
        let attachment = UplinkAttachment {
            ifindex: link,
            address: uplink.provider_address,
            vxlan_port: uplink.vxlan_port,
        };
        self.reserve(state, uplink).await?;
        if state.uplink.connected == Some(attachment) {
            return Ok(attachment);
        }
        let sender = UnderlaySender::open(uplink.provider_address, link)
            .with_context(|| format!("cannot send from {}", uplink.provider_address))?;
        self.plane
            .call(move |plane| plane.connect_uplink(attachment, sender))
            .await?
            .with_context(|| format!("cannot attach uplink {}", uplink.interface))?;
        tracing::info!(interface = uplink.interface, "uplink is up");
        Ok(attachment)
    }

    /// Takes the VXLAN port, so that no other program gets what is sent to it when the agent's
    /// program is not there to take it first.
    async fn reserve(&self, state: &mut State, uplink: &Uplink) -> anyhow::Result<()> {
        let wanted = SocketAddr::new(uplink.provider_address, uplink.vxlan_port);
        let held = state.uplink.reserved.as_ref();
        if held.is_some_and(|(address, _)| *address == wanted) {
            return Ok(());
        }
        state.uplink.reserved = None;
        match reserve_port(wanted.ip(), wanted.port()) {
            Ok(socket) => {
                state.uplink.reserved = Some((wanted, socket));
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                let holder = self.network.udp_port_holder(wanted).await;
                anyhow::bail!(
                    "uplink needs UDP port {} of {}, which {holder} has; end that, or give the \
                     topology's uplink another vxlanPort",
                    wanted.port(),
                    wanted.ip()
                )
            }
            Err(error) => Err(error).with_context(|| format!("cannot take UDP {wanted}")),
        }
    }

    /// Lets go of the interface; flows are kept.
    async fn disconnect_uplink(&self, state: &mut State) -> Result<(), RequestError> {
        state.uplink.reserved = None;
        let disconnected = self.plane.call(|plane| plane.disconnect_uplink());
        if let Err(error) = disconnected.await? {
            tracing::warn!(%error, "engine did not let go of the uplink");
        }
        Ok(())
    }
}
