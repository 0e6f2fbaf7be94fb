//! The connection to the kernel's routing sockets (rtnetlink, RFC 3549) of one namespace.
//!
//! [`crate::link`], [`crate::addr`], [`crate::route`] and [`crate::neigh`] add their operations
//! to [`Netlink`]. Every operation ends: each waits at most [`REPLY_TIMEOUT`] for the kernel.

use std::{io, time::Duration};

use futures_util::{Stream, StreamExt};
use rtnetlink::{
    packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
    packet_route::RouteNetlinkMessage,
};
use rustix::io::Errno;
use tokio::{runtime, time};

use crate::{
    error::{Context, Error},
    netns::Namespace,
};

/// How long an operation waits for the kernel before it fails with `ETIMEDOUT`.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// The most objects one listing returns; more fail with `ENOBUFS`.
pub const LISTED_MAX: usize = 1 << 20;

/// A connection to the kernel, bound to one namespace for good. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Netlink {
    handle: rtnetlink::Handle,
}

impl Netlink {
    /// Connects in `namespace`. The runtime must have its I/O and time drivers enabled.
    ///
    /// # Errors
    /// Outside a tokio runtime, or if the socket cannot be opened there.
    pub fn open(namespace: &Namespace) -> Result<Self, Error> {
        let subject = format!("namespace {}", namespace.label());
        let runtime = runtime::Handle::try_current()
            .map_err(io::Error::other)
            .context(&subject, "connect outside a tokio runtime")?;
        let connected = namespace.run_in(|| {
            // The socket belongs to the thread's namespace, its readiness to the runtime.
            let _reactor = runtime.enter();
            rtnetlink::new_connection()
        });
        let (connection, handle, _unsolicited) = connected
            .flatten()
            .context(&subject, "connect to netlink")?;
        runtime.spawn(connection);
        Ok(Self { handle })
    }

    /// Connects in the namespace of the calling thread.
    ///
    /// # Errors
    /// As [`Netlink::open`].
    pub fn open_current() -> Result<Self, Error> {
        Self::open(&Namespace::current()?)
    }

    /// Sends a change and waits until the kernel has made or refused it.
    pub(crate) async fn change(&self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.exchange(message, NLM_F_REQUEST | NLM_F_ACK | flags)
            .await
            .map(drop)
    }

    /// Asks for one object.
    pub(crate) async fn get(
        &self,
        message: RouteNetlinkMessage,
    ) -> io::Result<Option<RouteNetlinkMessage>> {
        Ok(self
            .exchange(message, NLM_F_REQUEST)
            .await?
            .into_iter()
            .next())
    }

    /// Asks for all objects of a kind.
    pub(crate) async fn dump(
        &self,
        message: RouteNetlinkMessage,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.exchange(message, NLM_F_REQUEST | NLM_F_DUMP).await
    }

    async fn exchange(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = flags;
        let mut handle = self.handle.clone();
        let replies = handle.request(request).map_err(io::Error::other)?;
        // A reply that the library cannot parse is dropped there, and its end never comes.
        match time::timeout(REPLY_TIMEOUT, collect(replies)).await {
            Ok(collected) => collected,
            Err(_elapsed) => Err(Errno::TIMEDOUT.into()),
        }
    }
}

async fn collect(
    replies: impl Stream<Item = NetlinkMessage<RouteNetlinkMessage>>,
) -> io::Result<Vec<RouteNetlinkMessage>> {
    let mut replies = std::pin::pin!(replies);
    let mut collected = Vec::new();
    while let Some(reply) = replies.next().await {
        match reply.payload {
            NetlinkPayload::InnerMessage(_) if collected.len() == LISTED_MAX => {
                return Err(Errno::NOBUFS.into());
            }
            NetlinkPayload::InnerMessage(message) => collected.push(message),
            // Without a code the "error" is an acknowledgement.
            NetlinkPayload::Error(refusal) => {
                if let Some(code) = refusal.code {
                    return Err(io::Error::from_raw_os_error(code.get().saturating_abs()));
                }
            }
            _ => {}
        }
    }
    Ok(collected)
}
