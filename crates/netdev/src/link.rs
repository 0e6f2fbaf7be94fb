//! Links: veth pairs made, links changed, listed and deleted.

use std::{
    fmt, io,
    os::fd::{AsFd, AsRawFd},
};

use rtnetlink::{
    packet_core::{NLM_F_CREATE, NLM_F_EXCL},
    packet_route::{
        RouteNetlinkMessage,
        link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
    },
};
use rustix::io::Errno;

pub use self::state::{Link, LinkCounters, OperState};
use crate::{
    error::{Context, Error, is_missing, removed},
    name::LinkName,
    netlink::Netlink,
    netns::Namespace,
};

mod state;

/// An Ethernet address, first byte first.
pub type MacAddress = [u8; 6];

/// Which link of the namespace is meant. An index outlives a renaming, a name does not.
#[derive(Debug, Clone, Copy)]
pub enum LinkRef<'a> {
    /// By name.
    Name(&'a LinkName),
    /// By interface index.
    Index(u32),
}

/// One end of a veth pair to be made. What is `None` is left to the kernel.
#[derive(Debug)]
pub struct VethEnd<'a> {
    /// The link's name, free in the namespace it goes to.
    pub name: LinkName,
    /// Its Ethernet address.
    pub mac: Option<MacAddress>,
    /// The most bytes above Ethernet in a frame.
    pub mtu: Option<u32>,
    /// Number of transmit queues.
    pub tx_queues: Option<u32>,
    /// Number of receive queues.
    pub rx_queues: Option<u32>,
    /// Frames the queueing discipline holds.
    pub tx_queue_len: Option<u32>,
    /// The namespace it goes to; without one, the connection's own.
    pub namespace: Option<&'a Namespace>,
}

impl VethEnd<'_> {
    /// An end that leaves everything but the name to the kernel.
    #[must_use]
    pub fn new(name: LinkName) -> Self {
        Self {
            name,
            mac: None,
            mtu: None,
            tx_queues: None,
            rx_queues: None,
            tx_queue_len: None,
            namespace: None,
        }
    }

    fn message(&self) -> LinkMessage {
        let mut message = LinkMessage::default();
        let namespace = self
            .namespace
            .map(|namespace| namespace.as_fd().as_raw_fd());
        message
            .attributes
            .push(LinkAttribute::IfName(self.name.to_string()));
        message.attributes.extend(
            [
                self.mac.map(|mac| LinkAttribute::Address(mac.to_vec())),
                self.mtu.map(LinkAttribute::Mtu),
                self.tx_queues.map(LinkAttribute::NumTxQueues),
                self.rx_queues.map(LinkAttribute::NumRxQueues),
                self.tx_queue_len.map(LinkAttribute::TxQueueLen),
                namespace.map(LinkAttribute::NetNsFd),
            ]
            .into_iter()
            .flatten(),
        );
        message
    }
}

/// Operations on links. `link` is a `&LinkName` or an index.
impl Netlink {
    /// Makes a veth pair, both ends down.
    ///
    /// # Errors
    /// [`Error::is_already_present`] if one of the names is taken; then neither end was made.
    pub async fn create_veth(&self, near: &VethEnd<'_>, far: &VethEnd<'_>) -> Result<(), Error> {
        let mut message = near.message();
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(far.message()))),
        ]));
        let made = self.change(
            RouteNetlinkMessage::NewLink(message),
            NLM_F_CREATE | NLM_F_EXCL,
        );
        made.await.context(
            format!("links {} and {}", near.name, far.name),
            "create the veth pair",
        )
    }

    /// The link as it is now, or `None` if there is none.
    ///
    /// # Errors
    /// What the kernel refused.
    pub async fn link<'a>(&self, link: impl Into<LinkRef<'a>>) -> Result<Option<Link>, Error> {
        let link = link.into();
        match self.get(RouteNetlinkMessage::GetLink(link.message())).await {
            Ok(Some(RouteNetlinkMessage::NewLink(message))) => Ok(Some(Link::from(message))),
            Ok(_) => Err(Error::new(link, "read its state", Errno::BADMSG)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(Error::new(link, "read its state", error)),
        }
    }

    /// All links of the namespace.
    ///
    /// # Errors
    /// What the kernel refused.
    pub async fn links(&self) -> Result<Vec<Link>, Error> {
        let all = self
            .dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))
            .await;
        let links =
            all.context("links", "list them")?
                .into_iter()
                .filter_map(|reply| match reply {
                    RouteNetlinkMessage::NewLink(message) => Some(Link::from(message)),
                    _ => None,
                });
        Ok(links.collect())
    }

    /// The index of a link, asked from the kernel only if a name is given.
    ///
    /// # Errors
    /// [`Error::is_missing`] if there is no such link.
    pub async fn link_index<'a>(&self, link: impl Into<LinkRef<'a>>) -> Result<u32, Error> {
        let link = link.into();
        match link {
            LinkRef::Index(index) => Ok(index),
            LinkRef::Name(_) => match self.link(link).await? {
                Some(state) => Ok(state.index),
                None => Err(Error::new(link, "find it", Errno::NODEV)),
            },
        }
    }

    /// Sets a link up.
    ///
    /// # Errors
    /// What the kernel refused.
    pub async fn set_up<'a>(&self, link: impl Into<LinkRef<'a>>) -> Result<(), Error> {
        let link = link.into();
        let mut message = link.message();
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.set(link, message, "set it up").await
    }

    /// Sets a link down.
    ///
    /// # Errors
    /// What the kernel refused.
    pub async fn set_down<'a>(&self, link: impl Into<LinkRef<'a>>) -> Result<(), Error> {
        let link = link.into();
        let mut message = link.message();
        message.header.change_mask = LinkFlags::Up;
        self.set(link, message, "set it down").await
    }

    /// Gives a link another name. Kernels before 6.2 want it down for that.
    ///
    /// # Errors
    /// [`Error::is_already_present`] if the name is taken.
    pub async fn rename<'a>(
        &self,
        link: impl Into<LinkRef<'a>>,
        name: &LinkName,
    ) -> Result<(), Error> {
        let link = link.into();
        // Beside an index the name attribute is the new name; without one it selects the link.
        let by_index = LinkRef::Index(self.link_index(link).await?);
        let name = LinkAttribute::IfName(name.to_string());
        self.set_attribute(by_index, name, "rename it").await
    }

    /// Sets the Ethernet address.
    ///
    /// # Errors
    /// What the kernel refused: a multicast address, for one.
    pub async fn set_mac<'a>(
        &self,
        link: impl Into<LinkRef<'a>>,
        mac: MacAddress,
    ) -> Result<(), Error> {
        let mac = LinkAttribute::Address(mac.to_vec());
        self.set_attribute(link.into(), mac, "set the MAC address")
            .await
    }

    /// Sets the MTU in bytes.
    ///
    /// # Errors
    /// What the kernel refused: a value outside the device's range, for one.
    pub async fn set_mtu<'a>(&self, link: impl Into<LinkRef<'a>>, mtu: u32) -> Result<(), Error> {
        self.set_attribute(link.into(), LinkAttribute::Mtu(mtu), "set the MTU")
            .await
    }

    /// Sets how many frames the queueing discipline holds.
    ///
    /// # Errors
    /// What the kernel refused.
    pub async fn set_tx_queue_len<'a>(
        &self,
        link: impl Into<LinkRef<'a>>,
        frames: u32,
    ) -> Result<(), Error> {
        let frames = LinkAttribute::TxQueueLen(frames);
        self.set_attribute(link.into(), frames, "set the transmit queue length")
            .await
    }

    /// Moves a link to another namespace; it arrives down, without addresses.
    ///
    /// # Errors
    /// [`Error::is_already_present`] if its name is taken there.
    pub async fn move_link<'a>(
        &self,
        link: impl Into<LinkRef<'a>>,
        namespace: &Namespace,
    ) -> Result<(), Error> {
        let target = LinkAttribute::NetNsFd(namespace.as_fd().as_raw_fd());
        self.set_attribute(link.into(), target, "move it to another namespace")
            .await
    }

    /// Deletes a link (and its peer, if it is one end of a pair); `false` if there was none.
    ///
    /// # Errors
    /// What the kernel refused: a physical device, for one.
    pub async fn delete_link<'a>(&self, link: impl Into<LinkRef<'a>>) -> Result<bool, Error> {
        let link = link.into();
        let deleted = self
            .change(RouteNetlinkMessage::DelLink(link.message()), 0)
            .await;
        removed(deleted).context(link, "delete it")
    }

    async fn set_attribute(
        &self,
        link: LinkRef<'_>,
        attribute: LinkAttribute,
        operation: &'static str,
    ) -> Result<(), Error> {
        let mut message = link.message();
        message.attributes.push(attribute);
        self.set(link, message, operation).await
    }

    /// `RTM_NEWLINK` without a create flag changes a link and never makes one.
    async fn set(
        &self,
        link: LinkRef<'_>,
        message: LinkMessage,
        operation: &'static str,
    ) -> Result<(), Error> {
        let outcome: io::Result<()> = self.change(RouteNetlinkMessage::NewLink(message), 0).await;
        outcome.context(link, operation)
    }
}

impl LinkRef<'_> {
    fn message(self) -> LinkMessage {
        let mut message = LinkMessage::default();
        match self {
            Self::Name(name) => {
                message
                    .attributes
                    .push(LinkAttribute::IfName(name.to_string()));
            }
            Self::Index(index) => message.header.index = index,
        }
        message
    }
}

impl<'a> From<&'a LinkName> for LinkRef<'a> {
    fn from(name: &'a LinkName) -> Self {
        Self::Name(name)
    }
}

impl From<u32> for LinkRef<'_> {
    fn from(index: u32) -> Self {
        Self::Index(index)
    }
}

impl fmt::Display for LinkRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "link {name}"),
            Self::Index(index) => write!(f, "link {index}"),
        }
    }
}

#[cfg(test)]
mod tests;
