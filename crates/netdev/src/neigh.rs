//! Neighbours: which Ethernet address an IP address on a link has.

use std::net::IpAddr;

use rtnetlink::{
    packet_core::{NLM_F_CREATE, NLM_F_REPLACE},
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
        route::RouteType,
    },
};

use crate::{
    error::{Context, Error, removed},
    link::{LinkRef, MacAddress},
    netlink::Netlink,
};

/// A neighbour entry of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// The neighbour's IP address.
    pub address: IpAddr,
    /// Its Ethernet address, if known.
    pub mac: Option<MacAddress>,
    /// Whether the entry never ages.
    pub permanent: bool,
}

/// Operations on neighbours. `link` is a `&LinkName` or an index.
impl Netlink {
    /// Sets a permanent entry, in place of any that was learnt.
    ///
    /// # Errors
    /// What the kernel refused.
    pub async fn replace_neighbour<'a>(
        &self,
        link: impl Into<LinkRef<'a>>,
        address: IpAddr,
        mac: MacAddress,
    ) -> Result<(), Error> {
        let link = link.into();
        let mut message = message(self.link_index(link).await?, address);
        message.header.state = NeighbourState::Permanent;
        message
            .attributes
            .push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
        let put = RouteNetlinkMessage::NewNeighbour(message);
        let put = self.change(put, NLM_F_CREATE | NLM_F_REPLACE).await;
        put.context(format!("neighbour {address} of {link}"), "replace it")
    }

    /// Deletes an entry; `false` if there was none.
    ///
    /// # Errors
    /// What the kernel refused.
    pub async fn delete_neighbour<'a>(
        &self,
        link: impl Into<LinkRef<'a>>,
        address: IpAddr,
    ) -> Result<bool, Error> {
        let link = link.into();
        let message = message(self.link_index(link).await?, address);
        let deleted = self
            .change(RouteNetlinkMessage::DelNeighbour(message), 0)
            .await;
        removed(deleted).context(format!("neighbour {address} of {link}"), "delete it")
    }

    /// The entries of a link.
    ///
    /// # Errors
    /// [`Error::is_missing`] if a name is given and there is no such link.
    pub async fn neighbours<'a>(
        &self,
        link: impl Into<LinkRef<'a>>,
    ) -> Result<Vec<Neighbour>, Error> {
        let link = link.into();
        let index = self.link_index(link).await?;
        let all = self
            .dump(RouteNetlinkMessage::GetNeighbour(
                NeighbourMessage::default(),
            ))
            .await;
        let of_link = all
            .context(link, "list its neighbours")?
            .into_iter()
            .filter_map(|reply| {
                let RouteNetlinkMessage::NewNeighbour(message) = reply else {
                    return None;
                };
                (message.header.ifindex == index).then_some(message)
            });
        Ok(of_link.filter_map(parse).collect())
    }
}

fn message(index: u32, address: IpAddr) -> NeighbourMessage {
    let (family, destination) = match address {
        IpAddr::V4(v4) => (AddressFamily::Inet, NeighbourAddress::Inet(v4)),
        IpAddr::V6(v6) => (AddressFamily::Inet6, NeighbourAddress::Inet6(v6)),
    };
    let mut message = NeighbourMessage::default();
    message.header.family = family;
    message.header.ifindex = index;
    message.header.kind = RouteType::Unicast;
    message
        .attributes
        .push(NeighbourAttribute::Destination(destination));
    message
}

fn parse(message: NeighbourMessage) -> Option<Neighbour> {
    let (mut address, mut mac) = (None, None);
    for attribute in message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => {
                address = Some(v4.into())
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => {
                address = Some(v6.into());
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes.try_into().ok(),
            _ => {}
        }
    }
    let permanent = message.header.state == NeighbourState::Permanent;
    Some(Neighbour {
        address: address?,
        mac,
        permanent,
    })
}
