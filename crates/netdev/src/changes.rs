//! News that a link or an address of a namespace changed.

use std::{
    io,
    time::{Duration, Instant},
};

use futures_util::{Stream, StreamExt};
use rtnetlink::{
    MulticastGroup,
    packet_core::{NetlinkMessage, NetlinkPayload},
    packet_route::RouteNetlinkMessage,
};
use tokio::runtime;

use crate::{
    error::{Context, Error},
    netns::Namespace,
};

/// What the kernel tells of links and addresses, in one namespace.
///
/// The news only says *that* something changed: more may come than can be kept, so what is true now
/// is to be read ([`crate::netlink::Netlink`]), after each of them and now and then without.
pub struct Changes {
    news: std::pin::Pin<Box<dyn Stream<Item = NetlinkMessage<RouteNetlinkMessage>> + Send>>,
}

impl Changes {
    /// Begins to listen in `namespace`. The runtime must have its I/O driver enabled.
    ///
    /// # Errors
    /// Outside a tokio runtime, or if the socket cannot be opened there.
    pub fn listen(namespace: &Namespace) -> Result<Changes, Error> {
        let subject = format!("namespace {}", namespace.label());
        let runtime = runtime::Handle::try_current()
            .map_err(io::Error::other)
            .context(&subject, "listen outside a tokio runtime")?;
        let connected = namespace.run_in(|| {
            let _reactor = runtime.enter();
            rtnetlink::new_multicast_connection(&[
                MulticastGroup::Link,
                MulticastGroup::Ipv4Ifaddr,
                MulticastGroup::Ipv6Ifaddr,
            ])
        });
        let (connection, handle, news) = connected
            .flatten()
            .context(&subject, "listen for changes")?;
        runtime.spawn(connection);
        // The connection ends when nobody can ask anything of it any more.
        let news = news.map(move |(message, _)| {
            let _open = &handle;
            message
        });
        Ok(Changes {
            news: Box::pin(news),
        })
    }

    /// Waits for news of something that changed, at most so long. All news at hand counts as one.
    pub async fn next(&mut self, at_most: Duration) {
        let deadline = Instant::now() + at_most;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, self.news.next()).await {
                Ok(Some(message)) if is_change(&message) => break,
                Ok(Some(_)) => {}
                // The kernel's side is gone; what is left is to look now and then.
                Ok(None) => return tokio::time::sleep(left).await,
                Err(_elapsed) => return,
            }
        }
        while let Ok(Some(_)) = tokio::time::timeout(Duration::ZERO, self.news.next()).await {}
    }
}

fn is_change(message: &NetlinkMessage<RouteNetlinkMessage>) -> bool {
    matches!(
        message.payload,
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewLink(_)
                | RouteNetlinkMessage::DelLink(_)
                | RouteNetlinkMessage::NewAddress(_)
                | RouteNetlinkMessage::DelAddress(_)
        ) | NetlinkPayload::Overrun(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{PATIENCE, VethPair, require_root};

    #[tokio::test]
    async fn a_change_of_a_link_is_news() {
        require_root!();
        let pair = VethPair::new().await;
        let mut changes = Changes::listen(&pair.a.namespace).unwrap();
        let quiet = Instant::now();
        changes.next(Duration::from_millis(20)).await;
        assert!(
            quiet.elapsed() >= Duration::from_millis(20),
            "nothing was new"
        );
        pair.a.netlink().set_mtu(pair.a_index, 1_400).await.unwrap();
        let told = Instant::now();
        changes.next(PATIENCE * 10).await;
        assert!(told.elapsed() < PATIENCE, "the MTU is news");
    }
}
