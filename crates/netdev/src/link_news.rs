//! Whether a link of a namespace has changed, to be asked at any time and without waiting.

use std::io;

use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::io::Errno;

use crate::{
    error::{Context, Error},
    netns::Namespace,
};

/// `RTMGRP_LINK` of Linux uapi `rtnetlink.h`.
const GROUP_LINK: u32 = 1;

/// News are only counted, so their beginning will do.
const NEWS_BYTES: usize = 64;

/// Says whether anything happened to a link since it was last asked: one came, went, or is not as it
/// was. Unlike [`crate::changes`], what the kernel did before the question is always in the answer.
#[derive(Debug)]
pub struct LinkNews {
    socket: Socket,
}

impl LinkNews {
    /// Begins to listen in `namespace`.
    ///
    /// # Errors
    /// If the socket cannot be opened there.
    pub fn listen(namespace: &Namespace) -> Result<LinkNews, Error> {
        let open = || -> io::Result<Socket> {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind(&SocketAddr::new(0, GROUP_LINK))?;
            socket.set_non_blocking(true)?;
            Ok(socket)
        };
        let opened = namespace.run_in(open).flatten();
        let socket = opened.context(
            format!("namespace {}", namespace.label()),
            "listen for changes of links",
        )?;
        Ok(LinkNews { socket })
    }

    /// Whether there are news. More than can be kept are news, too, and so is a socket that fails.
    pub fn any(&mut self) -> bool {
        let mut any = false;
        loop {
            let mut news = [0_u8; NEWS_BYTES];
            match self.socket.recv(&mut &mut news[..], 0) {
                Ok(_) => any = true,
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::AGAIN) => return any,
                    Some(Errno::INTR) => {}
                    // What was lost is not told twice: the next one gets through.
                    Some(Errno::NOBUFS) => any = true,
                    _ => return true,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{VethPair, require_root};

    #[tokio::test]
    async fn a_change_is_told_once_and_at_once() {
        require_root!();
        let pair = VethPair::new().await;
        let mut news = LinkNews::listen(&pair.a.namespace).unwrap();
        assert!(!news.any(), "nothing has happened yet");
        pair.a.netlink().set_mtu(pair.a_index, 1_400).await.unwrap();
        assert!(news.any(), "the MTU is news");
        assert!(!news.any(), "and was told");
        pair.b.netlink().set_down(pair.b_index).await.unwrap();
        pair.a.netlink().delete_link(pair.a_index).await.unwrap();
        assert!(news.any(), "the link has gone");
    }

    #[tokio::test]
    async fn more_news_than_can_be_kept_are_news() {
        require_root!();
        let pair = VethPair::new().await;
        let mut news = LinkNews::listen(&pair.a.namespace).unwrap();
        for mtu in 1_300..2_000 {
            pair.a.netlink().set_mtu(pair.a_index, mtu).await.unwrap();
        }
        assert!(news.any());
        assert!(!news.any());
        pair.a.netlink().set_mtu(pair.a_index, 1_400).await.unwrap();
        assert!(news.any(), "it goes on listening");
    }
}
