//! IP addresses of links.

use std::net::IpAddr;

use ipnet::IpNet;
use rtnetlink::{
    packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE},
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        address::{
            AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope,
        },
    },
};

use crate::{
    error::{Context, Error, removed},
    link::LinkRef,
    netlink::Netlink,
};

/// An address of a link: the address itself and the length of its subnet's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// Address and prefix length, such as `10.0.0.4/24`.
    pub prefix: IpNet,
    /// Whether the kernel adds no route to the subnet (`noprefixroute`).
    pub no_prefix_route: bool,
    /// Whether an IPv6 address is used at once, without asking for duplicates (`nodad`).
    pub no_dad: bool,
}

impl From<IpNet> for Address {
    /// With the kernel's own habits: a route to the subnet, and duplicate detection.
    fn from(prefix: IpNet) -> Self {
        Self {
            prefix,
            no_prefix_route: false,
            no_dad: false,
        }
    }
}

/// Operations on addresses. `link` is a `&LinkName` or an index.
impl Netlink {
    /// Adds an address.
    ///
    /// # Errors
    /// [`Error::is_already_present`] if the link has it.
    pub async fn add_address<'a>(
        &self,
        link: impl Into<LinkRef<'a>>,
        address: &Address,
    ) -> Result<(), Error> {
        self.put_address(link.into(), address, NLM_F_EXCL, "add it")
            .await
    }

    /// Adds an address, or changes its options if the link has it.
    ///
    /// # Errors
    /// What the kernel refused.
    pub async fn replace_address<'a>(
        &self,
        link: impl Into<LinkRef<'a>>,
        address: &Address,
    ) -> Result<(), Error> {
        self.put_address(link.into(), address, NLM_F_REPLACE, "replace it")
            .await
    }

    /// Deletes an address; `false` if the link did not have it.
    ///
    /// # Errors
    /// What the kernel refused.
    pub async fn delete_address<'a>(
        &self,
        link: impl Into<LinkRef<'a>>,
        prefix: IpNet,
    ) -> Result<bool, Error> {
        let link = link.into();
        let message = message(self.link_index(link).await?, prefix);
        let deleted = self
            .change(RouteNetlinkMessage::DelAddress(message), 0)
            .await;
        removed(deleted).context(format!("address {prefix} of {link}"), "delete it")
    }

    /// The addresses of a link.
    ///
    /// # Errors
    /// [`Error::is_missing`] if a name is given and there is no such link.
    pub async fn addresses<'a>(&self, link: impl Into<LinkRef<'a>>) -> Result<Vec<Address>, Error> {
        let link = link.into();
        let index = self.link_index(link).await?;
        let all = self
            .dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))
            .await;
        let of_link = all
            .context(link, "list its addresses")?
            .into_iter()
            .filter_map(|reply| {
                let RouteNetlinkMessage::NewAddress(message) = reply else {
                    return None;
                };
                (message.header.index == index).then_some(message)
            });
        Ok(of_link.filter_map(|message| parse(&message)).collect())
    }

    async fn put_address(
        &self,
        link: LinkRef<'_>,
        address: &Address,
        flags: u16,
        operation: &'static str,
    ) -> Result<(), Error> {
        let mut message = message(self.link_index(link).await?, address.prefix);
        let mut options = AddressFlags::empty();
        options.set(AddressFlags::Noprefixroute, address.no_prefix_route);
        options.set(AddressFlags::Nodad, address.no_dad);
        message.attributes.push(AddressAttribute::Flags(options));
        let put = self
            .change(
                RouteNetlinkMessage::NewAddress(message),
                NLM_F_CREATE | flags,
            )
            .await;
        put.context(format!("address {} of {link}", address.prefix), operation)
    }
}

fn message(index: u32, prefix: IpNet) -> AddressMessage {
    let address = prefix.addr();
    let mut message = AddressMessage::default();
    message.header.family = match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.header.index = index;
    message.header.prefix_len = prefix.prefix_len();
    if address.is_loopback() {
        message.header.scope = AddressScope::Host;
    }
    message.attributes = vec![
        AddressAttribute::Address(address),
        AddressAttribute::Local(address),
    ];
    message
}

fn parse(message: &AddressMessage) -> Option<Address> {
    // IFA_LOCAL is the address itself; IPv6 has only IFA_ADDRESS, which on a point-to-point
    // IPv4 link is the peer's.
    let (mut local, mut address) = (None, None);
    let mut flags = AddressFlags::empty();
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Address(ip) => address = Some(*ip),
            AddressAttribute::Flags(all) => flags = *all,
            _ => {}
        }
    }
    let no_dad = flags.contains(AddressFlags::Nodad)
        || message.header.flags.contains(AddressHeaderFlags::Nodad);
    Some(Address {
        prefix: IpNet::new(local.or(address)?, message.header.prefix_len).ok()?,
        no_prefix_route: flags.contains(AddressFlags::Noprefixroute),
        no_dad,
    })
}

#[cfg(test)]
mod tests;
