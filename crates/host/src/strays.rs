//! What an agent left that died in the middle of a change.
//!
//! What is wanted is written down before it is made, and what is no longer wanted before it is
//! removed. So after a kill in between there may be devices and namespaces that nobody wants; no
//! traffic passes them, for the engine is told of wanted ports only.

use std::collections::BTreeSet;

use flow::PortId;

use crate::agent::{Agent, DESIRED};
use crate::error::RequestError;
use crate::guest::HostNetwork;

impl HostNetwork {
    /// Removes the devices of ports that are no NIC's. Returns their names.
    pub(crate) async fn remove_strays(
        &self,
        wanted: &BTreeSet<PortId>,
    ) -> anyhow::Result<Vec<String>> {
        let mut removed = Vec::new();
        for device in self.our_devices().await? {
            let number = device
                .rsplit_once('p')
                .and_then(|(_, port)| port.parse().ok());
            let Some(port) = number.map(PortId) else {
                continue;
            };
            if !wanted.contains(&port) && self.remove_nic(port).await? {
                removed.push(device);
            }
        }
        Ok(removed)
    }
}

impl Agent {
    /// Finishes what the agent before had begun to remove.
    pub(crate) async fn remove_strays(&self) -> Result<(), RequestError> {
        let mut state = self.state.lock().await;
        let wanted = state.desired.ports.values().copied().collect();
        for device in self.network.remove_strays(&wanted).await? {
            tracing::info!(device, "removed what the agent before had begun to remove");
        }
        self.remove_nics(&mut state, &[]).await;
        self.store.put(DESIRED, &state.desired)?;
        Ok(())
    }
}
