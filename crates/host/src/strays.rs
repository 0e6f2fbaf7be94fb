//! What an agent left that died in the middle of a change.
//!
//! What is wanted is written down before it is made, and what is no longer wanted before it is
//! removed. So after a kill in between there may be devices and namespaces that nobody wants; no
//! traffic passes them, for the engine is told of wanted ports only.

use std::collections::BTreeSet;

use flow::PortId;

use crate::agent::Agent;
use crate::error::RequestError;
use crate::guest::HostNetwork;

impl HostNetwork {
    /// Removes the devices of ports that are no NIC's. Returns their names.
    pub(crate) async fn remove_strays(
        &self,
        wanted: &BTreeSet<PortId>,
    ) -> anyhow::Result<Vec<String>> {
        let devices = self.our_devices().await?;
        let ports = devices.iter().filter_map(|device| {
            let (_, port) = device.rsplit_once('p')?;
            port.parse().ok().map(PortId)
        });
        let strays: Vec<PortId> = ports.filter(|port| !wanted.contains(port)).collect();
        if strays.is_empty() {
            return Ok(Vec::new());
        }
        let _expedited = self.expedite(strays.len());
        let removed = self.remove_nics(&strays).await?.into_iter();
        Ok(removed.map(|port| self.paths().port_device(port)).collect())
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
        self.keep(&mut state).await?;
        Ok(())
    }
}
