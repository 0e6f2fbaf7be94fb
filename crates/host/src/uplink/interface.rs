//! Whether the interface that is to be the uplink can be it.

use model::Uplink;
use netdev::LinkName;
use netdev::link::Link;

use crate::guest::HostNetwork;

/// The smallest inner packet that every host must take (RFC 791, 3.1).
const INNER_MTU_MIN: u16 = 576;

/// What was found where the topology wants an uplink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It wants none.
    Unwanted,
    /// The interface can be used.
    Ready {
        /// Its name.
        interface: String,
        /// Its index.
        link: u32,
        /// The largest outer IP packet it takes.
        mtu: u16,
    },
    /// What is missing, and what to do.
    Missing(String),
}

impl HostNetwork {
    /// Looks at the interface.
    pub(crate) async fn find_uplink(&self, uplink: &Uplink) -> Found {
        match self.check_uplink(uplink).await {
            Ok(found) => found,
            Err(error) => Found::Missing(format!("{error:#}")),
        }
    }

    async fn check_uplink(&self, uplink: &Uplink) -> anyhow::Result<Found> {
        let Uplink {
            interface,
            provider_address,
            ..
        } = uplink;
        let name = LinkName::new(interface)?;
        let Some(link) = self.netlink().link(&name).await? else {
            let there = self.netlink().links().await?;
            let names: Vec<String> = there.into_iter().map(|link| link.name).collect();
            anyhow::bail!(
                "uplink interface `{interface}` is not there; there are {}",
                names.join(", ")
            );
        };
        if !link.is_up() {
            anyhow::bail!("uplink interface `{interface}` is down; ip link set {interface} up");
        }
        if !link.has_carrier() {
            anyhow::bail!("uplink interface `{interface}` has no carrier");
        }
        let addresses = self.netlink().addresses(link.index).await?;
        let found: Vec<String> = addresses.iter().map(|one| one.prefix.to_string()).collect();
        if !addresses
            .iter()
            .any(|one| one.prefix.addr() == *provider_address)
        {
            let found = if found.is_empty() {
                "no address".to_owned()
            } else {
                found.join(", ")
            };
            anyhow::bail!(
                "uplink interface `{interface}` has {found}, and not the provider address \
                 {provider_address}"
            );
        }
        let mtu = mtu_of(&link);
        if uplink.mtu(mtu) < INNER_MTU_MIN {
            anyhow::bail!(
                "uplink interface `{interface}` has an MTU of {mtu}, which leaves guests {}; they \
                 need {INNER_MTU_MIN}",
                uplink.mtu(mtu)
            );
        }
        Ok(Found::Ready {
            interface: interface.clone(),
            link: link.index,
            mtu,
        })
    }
}

/// No IP packet is longer than 65,535 bytes, whatever the interface would take.
fn mtu_of(link: &Link) -> u16 {
    u16::try_from(link.mtu).unwrap_or(u16::MAX)
}
