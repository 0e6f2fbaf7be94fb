//! Unicast routes of the main table.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rtnetlink::{
    packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE},
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        route::{
            RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric,
            RouteProtocol, RouteScope, RouteType, RouteVia,
        },
    },
};

use crate::{
    error::{Context, Error, removed},
    netlink::Netlink,
};

/// A route: where it leads and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// What it covers; of length 0 for a default route.
    pub destination: IpNet,
    /// The next hop; an IPv4 route may have one of IPv6 (RFC 5549), not the other way round.
    pub gateway: Option<IpAddr>,
    /// The index of the link it leads out of; found from the gateway if absent.
    pub link: Option<u32>,
    /// Whether the gateway counts as on the link although no route covers it.
    pub on_link: bool,
    /// The MTU of paths along this route, if it is not the link's.
    pub mtu: Option<u32>,
    /// Its priority among routes of the same destination, lower first.
    pub metric: Option<u32>,
    /// The address that packets without a source get.
    pub source: Option<IpAddr>,
}

impl Route {
    /// A route to `destination`, yet without a way there.
    #[must_use]
    pub fn to(destination: IpNet) -> Self {
        Self {
            destination: destination.trunc(),
            gateway: None,
            link: None,
            on_link: false,
            mtu: None,
            metric: None,
            source: None,
        }
    }

    /// The default route by `gateway`, of the gateway's family.
    #[must_use]
    pub fn default_by(gateway: IpAddr) -> Self {
        let destination = match gateway {
            IpAddr::V4(_) => IpNet::V4(Ipv4Net::default()),
            IpAddr::V6(_) => IpNet::V6(Ipv6Net::default()),
        };
        Self {
            gateway: Some(gateway),
            ..Self::to(destination)
        }
    }

    /// Whether it covers everything.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.destination.prefix_len() == 0
    }
}

/// Operations on routes.
impl Netlink {
    /// Adds a route.
    ///
    /// # Errors
    /// [`Error::is_already_present`] if there is one of that destination and metric.
    pub async fn add_route(&self, route: &Route) -> Result<(), Error> {
        self.put_route(route, NLM_F_EXCL, "add it").await
    }

    /// Adds a route, in place of one of the same destination and metric if there is one.
    ///
    /// # Errors
    /// What the kernel refused: a gateway that nothing covers, for one.
    pub async fn replace_route(&self, route: &Route) -> Result<(), Error> {
        self.put_route(route, NLM_F_REPLACE, "replace it").await
    }

    /// Deletes the first route that has all that `route` says; `false` if there was none.
    ///
    /// # Errors
    /// What the kernel refused.
    pub async fn delete_route(&self, route: &Route) -> Result<bool, Error> {
        let subject = format!("route {}", route.destination);
        let mut message = message(route).context(&subject, "delete it")?;
        // As iproute2 asks: any scope and any origin.
        message.header.scope = RouteScope::NoWhere;
        message.header.protocol = RouteProtocol::Unspec;
        let deleted = self.change(RouteNetlinkMessage::DelRoute(message), 0).await;
        removed(deleted).context(subject, "delete it")
    }

    /// The unicast routes of the main table, of both families, with a single next hop.
    ///
    /// # Errors
    /// What the kernel refused.
    pub async fn routes(&self) -> Result<Vec<Route>, Error> {
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut query = RouteMessage::default();
            query.header.address_family = family;
            let all = self.dump(RouteNetlinkMessage::GetRoute(query)).await;
            let replies = all.context("routes", "list them")?;
            routes.extend(replies.into_iter().filter_map(|reply| match reply {
                RouteNetlinkMessage::NewRoute(message) => parse(&message),
                _ => None,
            }));
        }
        Ok(routes)
    }

    async fn put_route(
        &self,
        route: &Route,
        flags: u16,
        operation: &'static str,
    ) -> Result<(), Error> {
        let subject = format!("route {}", route.destination);
        let message = message(route).context(&subject, operation)?;
        let put = self
            .change(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | flags)
            .await;
        put.context(subject, operation)
    }
}

fn message(route: &Route) -> io::Result<RouteMessage> {
    let destination = route.destination.trunc();
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: match destination {
            IpNet::V4(_) => AddressFamily::Inet,
            IpNet::V6(_) => AddressFamily::Inet6,
        },
        destination_prefix_length: destination.prefix_len(),
        table: RouteHeader::RT_TABLE_MAIN,
        protocol: RouteProtocol::Static,
        // Without a gateway the destination is on the link itself; IPv6 knows no scopes.
        scope: match (destination, route.gateway) {
            (IpNet::V4(_), None) => RouteScope::Link,
            _ => RouteScope::Universe,
        },
        kind: RouteType::Unicast,
        ..RouteHeader::default()
    };
    if route.on_link {
        message.header.flags |= RouteFlags::Onlink;
    }
    let gateway = route
        .gateway
        .map(|gateway| gateway_attribute(destination, gateway))
        .transpose()?;
    message
        .attributes
        .push(RouteAttribute::Destination(destination.addr().into()));
    message.attributes.extend(
        [
            gateway,
            route.link.map(RouteAttribute::Oif),
            route.metric.map(RouteAttribute::Priority),
            route
                .source
                .map(|source| RouteAttribute::PrefSource(source.into())),
            route
                .mtu
                .map(|mtu| RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)])),
        ]
        .into_iter()
        .flatten(),
    );
    Ok(message)
}

fn gateway_attribute(destination: IpNet, gateway: IpAddr) -> io::Result<RouteAttribute> {
    match (destination, gateway) {
        (IpNet::V4(_), IpAddr::V4(_)) | (IpNet::V6(_), IpAddr::V6(_)) => {
            Ok(RouteAttribute::Gateway(gateway.into()))
        }
        (IpNet::V4(_), IpAddr::V6(gateway)) => Ok(RouteAttribute::Via(RouteVia::Inet6(gateway))),
        (IpNet::V6(_), IpAddr::V4(_)) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "an IPv6 route cannot have an IPv4 gateway",
        )),
    }
}

fn parse(message: &RouteMessage) -> Option<Route> {
    let unspecified = match message.header.address_family {
        AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    let main = message.header.table == RouteHeader::RT_TABLE_MAIN;
    if !main || message.header.kind != RouteType::Unicast {
        return None;
    }
    let (mut destination, mut route) = (unspecified, Route::to(unspecified.into()));
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => destination = ip(address)?,
            RouteAttribute::Gateway(address) => route.gateway = ip(address),
            RouteAttribute::Via(RouteVia::Inet6(address)) => {
                route.gateway = Some((*address).into())
            }
            RouteAttribute::PrefSource(address) => route.source = ip(address),
            RouteAttribute::Oif(index) => route.link = Some(*index),
            RouteAttribute::Priority(metric) => route.metric = Some(*metric),
            RouteAttribute::Metrics(metrics) => {
                route.mtu = metrics.iter().find_map(|metric| match metric {
                    RouteMetric::Mtu(mtu) => Some(*mtu),
                    _ => None,
                });
            }
            // Several next hops do not fit the type; saying nothing beats saying half.
            RouteAttribute::MultiPath(_) => return None,
            _ => {}
        }
    }
    route.on_link = message.header.flags.contains(RouteFlags::Onlink);
    route.destination = IpNet::new(destination, message.header.destination_prefix_length).ok()?;
    Some(route)
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some((*v4).into()),
        RouteAddress::Inet6(v6) => Some((*v6).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
