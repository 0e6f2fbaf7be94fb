//! The host's devices that are up, listed anew only when one has changed.

use std::sync::Arc;

use netdev::link_news::LinkNews;

use crate::guest::HostNetwork;
use crate::settled::DevicesUp;

/// Devices as they were listed last.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    listed: Option<Arc<DevicesUp>>,
    /// None where the kernel cannot be listened to: then they are listed each time.
    news: Option<LinkNews>,
}

impl Devices {
    /// Begins to listen for what changes.
    pub(crate) fn watched(network: &HostNetwork) -> Devices {
        let news = network.link_news();
        if let Err(error) = &news {
            tracing::warn!(%error, "devices are not watched, and so looked at again and again");
        }
        Devices {
            listed: None,
            news: news.ok(),
        }
    }

    /// The devices that are up now.
    pub(crate) async fn up(&mut self, network: &HostNetwork) -> anyhow::Result<Arc<DevicesUp>> {
        // Asked before they are listed: what happens meanwhile is news the next time.
        let changed = self.news.as_mut().is_none_or(LinkNews::any);
        if !changed && let Some(listed) = &self.listed {
            return Ok(Arc::clone(listed));
        }
        self.listed = None;
        let listed = Arc::new(network.devices_up().await?);
        self.listed = Some(Arc::clone(&listed));
        Ok(listed)
    }
}
