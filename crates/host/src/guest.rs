//! Guests made real: namespaces, veth pairs, TAPs and their settings.
//!
//! Everything here is *ensure*: what is there already, left by an agent before this one, is used
//! and its settings are put right. So starting again after `kill -9` disturbs no guest.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use flow::PortId;
use ipnet::IpNet;
use netdev::addr::Address;
use netdev::link::VethEnd;
use netdev::link_news::LinkNews;
use netdev::netlink::Netlink;
use netdev::netns::Namespace;
use netdev::route::Route;
use netdev::sysctl::{self, Scope, Setting};
use netdev::tap::{Tap, TapHeader, TapOptions};
use netdev::{LinkName, NamespaceName};

use crate::Paths;
use crate::settled::DevicesUp;

/// The MTU of the host's end of a pair: the largest there is, so that it is the switch that judges
/// what is too big, with a counter and an answer, and not the driver in silence.
const HOST_END_MTU: u32 = 65_535;

/// A NIC to be made real.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NicPlan {
    pub(crate) name: String,
    pub(crate) port: PortId,
    /// Its place among the guest's NICs; the first has the default route.
    pub(crate) index: usize,
    pub(crate) mac: [u8; 6],
    /// Addresses with the length of their subnet's prefix.
    pub(crate) addresses: Vec<IpNet>,
    /// The virtual router's address in each family.
    pub(crate) gateways: Vec<IpAddr>,
    pub(crate) mtu: u16,
    /// What the way to other hosts takes.
    pub(crate) route_mtu: Option<u16>,
    pub(crate) forwards: bool,
}

/// What kind of place a guest is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A namespace that we make.
    OurNamespace(String),
    /// A namespace that someone else made.
    TheirNamespace(PathBuf),
    /// A TAP that a VMM opens.
    Tap,
}

/// The host's end of a NIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostEnd {
    pub(crate) link: u32,
    pub(crate) kind: bpf::DeviceKind,
}

/// The host's own network, from which guests are made.
pub(crate) struct HostNetwork {
    netlink: Netlink,
    namespace: Namespace,
    paths: Paths,
}

impl HostNetwork {
    pub(crate) fn open(paths: &Paths) -> anyhow::Result<HostNetwork> {
        let namespace = Namespace::current().context("cannot open the host's network namespace")?;
        let netlink = Netlink::open_current().context("cannot reach the kernel by netlink")?;
        Ok(HostNetwork {
            netlink,
            namespace,
            paths: paths.clone(),
        })
    }

    /// Where this instance has its things.
    pub(crate) fn paths(&self) -> &Paths {
        &self.paths
    }

    /// News of the host's own links, from now on.
    pub(crate) fn link_news(&self) -> Result<LinkNews, netdev::Error> {
        LinkNews::listen(&self.namespace)
    }

    /// The host's own links and addresses.
    pub(crate) fn netlink(&self) -> &Netlink {
        &self.netlink
    }

    /// The device on which exceptions come up; its interface index.
    ///
    /// One end of a veth pair whose other end nobody uses: what the engine redirects into it is
    /// seen by the agent's packet socket and by nothing else. (A dummy would do, but not every
    /// kernel has that driver, while guests need veth anyway.)
    pub(crate) async fn ensure_exception_device(&self) -> anyhow::Result<u32> {
        let name = LinkName::new(&self.paths.exception_device())?;
        if self.netlink.link(&name).await?.is_none() {
            let idle = LinkName::new(&format!("{name}i"))?;
            let pair = (VethEnd::new(name.clone()), VethEnd::new(idle.clone()));
            self.netlink
                .create_veth(&pair.0, &pair.1)
                .await
                .context("cannot make the device for exceptions")?;
            self.silence(&idle)?;
            self.netlink.set_up(&idle).await?;
        }
        self.bring_up(&name, HOST_END_MTU).await
    }

    /// Makes a NIC real, or finds it so.
    pub(crate) async fn ensure_nic(
        &self,
        place: &Place,
        plan: &NicPlan,
    ) -> anyhow::Result<HostEnd> {
        let device = LinkName::new(&self.paths.port_device(plan.port))?;
        let end = match place {
            Place::Tap => self.ensure_tap(&device, plan.mtu).await,
            Place::OurNamespace(name) => {
                let name = NamespaceName::new(name)?;
                let namespace = if Namespace::exists(&name) {
                    Namespace::open_name(&name)?
                } else {
                    Namespace::create(&name)?
                };
                self.ensure_veth(&device, &namespace, plan).await
            }
            Place::TheirNamespace(path) => {
                let namespace = Namespace::open_path(path)?;
                self.ensure_veth(&device, &namespace, plan).await
            }
        };
        let link = end.with_context(|| format!("cannot make NIC {} real", plan.name))?;
        let kind = match place {
            Place::Tap => bpf::DeviceKind::Tap,
            Place::OurNamespace(_) | Place::TheirNamespace(_) => bpf::DeviceKind::Veth,
        };
        Ok(HostEnd { link, kind })
    }

    /// Frames that the kernel dropped before they were on the device for exceptions, since it was
    /// made: of a queue of the kernel's own that was full.
    pub(crate) async fn exceptions_dropped(&self) -> anyhow::Result<u64> {
        let name = LinkName::new(&self.paths.exception_device())?;
        let link = self.netlink.link(&name).await?;
        Ok(link.map_or(0, |link| link.counters.rx_dropped))
    }

    /// Removes the device for exceptions.
    pub(crate) async fn remove_exception_device(&self) -> anyhow::Result<bool> {
        let name = LinkName::new(&self.paths.exception_device())?;
        Ok(self.netlink.delete_link(&name).await?)
    }

    /// Removes a namespace that we made.
    pub(crate) fn remove_namespace(&self, name: &str) -> anyhow::Result<bool> {
        Ok(Namespace::delete(&NamespaceName::new(name)?)?)
    }

    /// The host's devices that are up.
    pub(crate) async fn devices_up(&self) -> anyhow::Result<DevicesUp> {
        /// `IFF_UP` (Linux uapi `if.h`).
        const UP: u32 = 1;
        let links = self.netlink.links().await?.into_iter();
        let up = links.filter(|link| link.flags & UP != 0);
        Ok(up.map(|link| (link.name, link.index)).collect())
    }

    /// The interface indices of the host's devices, by name.
    pub(crate) async fn devices(&self) -> anyhow::Result<BTreeMap<String, u32>> {
        let links = self.netlink.links().await?.into_iter();
        Ok(links.map(|link| (link.name, link.index)).collect())
    }

    /// The devices that carry this instance's name.
    pub(crate) async fn our_devices(&self) -> anyhow::Result<Vec<String>> {
        let prefix = format!("{}p", self.paths.device_prefix());
        let links = self.netlink.links().await?;
        let ours = links.into_iter().map(|link| link.name).filter(|name| {
            name.strip_prefix(&prefix)
                .is_some_and(|port| port.parse::<u16>().is_ok())
        });
        Ok(ours.collect())
    }

    async fn ensure_tap(&self, device: &LinkName, mtu: u16) -> anyhow::Result<u32> {
        if self.netlink.link(device).await?.is_none() {
            // Closed again at once: the device persists, and its one queue is the VMM's.
            Tap::open(&TapOptions {
                name: device.clone(),
                multi_queue: false,
                header: TapHeader::Short,
                persist: true,
                owner: None,
            })?;
        }
        // The kernel holds what the switch sends to a TAP against this; what the VMM sends is not.
        self.bring_up(device, u32::from(mtu)).await
    }

    async fn ensure_veth(
        &self,
        device: &LinkName,
        namespace: &Namespace,
        plan: &NicPlan,
    ) -> anyhow::Result<u32> {
        let guest = Netlink::open(namespace)?;
        let mut inside = self.find_inside(&guest, plan).await?;
        if self.netlink.link(device).await?.is_none() || inside.is_none() {
            self.netlink.delete_link(device).await?;
            let name = free_name(&guest, plan.index).await?;
            let near = VethEnd {
                mtu: Some(HOST_END_MTU),
                ..VethEnd::new(device.clone())
            };
            let far = VethEnd {
                mac: Some(plan.mac),
                mtu: Some(u32::from(plan.mtu)),
                namespace: Some(namespace),
                ..VethEnd::new(name.clone())
            };
            self.netlink.create_veth(&near, &far).await?;
            inside = Some(name);
        }
        let link = self.bring_up(device, HOST_END_MTU).await?;
        if let Some(inside) = inside {
            self.configure(namespace, &guest, &inside, plan).await?;
        }
        Ok(link)
    }

    /// The guest's end of a pair that is there already: known by its address.
    async fn find_inside(
        &self,
        guest: &Netlink,
        plan: &NicPlan,
    ) -> anyhow::Result<Option<LinkName>> {
        let links = guest.links().await?;
        let found = links.into_iter().find(|link| link.mac == Some(plan.mac));
        found.map(|link| Ok(LinkName::new(&link.name)?)).transpose()
    }

    async fn bring_up(&self, device: &LinkName, mtu: u32) -> anyhow::Result<u32> {
        self.silence(device)?;
        let index = self.netlink.link_index(device).await?;
        self.netlink.set_mtu(index, mtu).await?;
        self.netlink.set_up(index).await?;
        Ok(index)
    }

    /// The host itself must say nothing on this device.
    fn silence(&self, device: &LinkName) -> anyhow::Result<()> {
        let quiet = [(Setting::DisableIpv6(Scope::Link(device)), 1)];
        match sysctl::write(&self.namespace, &quiet) {
            Err(error) if !error.is_missing() => Err(error.into()),
            // A kernel without IPv6 has nothing to say on it either.
            _ => Ok(()),
        }
    }

    async fn configure(
        &self,
        namespace: &Namespace,
        guest: &Netlink,
        device: &LinkName,
        plan: &NicPlan,
    ) -> anyhow::Result<()> {
        let loopback = LinkName::new("lo")?;
        guest.set_up(&loopback).await?;
        quiet_neighbours(namespace, device)?;
        let index = guest.link_index(device).await?;
        guest.set_mtu(index, u32::from(plan.mtu)).await?;
        let present = guest.addresses(index).await?;
        for address in &present {
            let ours = plan.addresses.contains(&address.prefix);
            if !ours && !is_link_local(address.prefix.addr()) {
                guest.delete_address(index, address.prefix).await?;
            }
        }
        for prefix in &plan.addresses {
            let address = Address {
                no_dad: true,
                ..Address::from(*prefix)
            };
            guest.replace_address(index, &address).await?;
        }
        guest.set_up(index).await?;
        if plan.index == 0 {
            for gateway in &plan.gateways {
                let route = Route {
                    link: Some(index),
                    on_link: true,
                    mtu: shorter(plan),
                    ..Route::default_by(*gateway)
                };
                guest.replace_route(&route).await?;
            }
        }
        if plan.forwards {
            forward(namespace, device)?;
        }
        Ok(())
    }
}

/// The MTU of paths beyond the subnet, where a NIC takes more than the way to other hosts.
fn shorter(plan: &NicPlan) -> Option<u32> {
    let mtu = plan.route_mtu.filter(|mtu| *mtu < plan.mtu)?;
    Some(u32::from(mtu))
}

/// The path by which others find a guest's namespace.
pub(crate) fn namespace_path(place: &Place) -> Option<PathBuf> {
    match place {
        Place::OurNamespace(name) => Some(Path::new("/run/netns").join(name)),
        Place::TheirNamespace(path) => Some(path.clone()),
        Place::Tap => None,
    }
}

/// `eth0`, or `cw0` in a namespace that has an `eth0` of its own.
async fn free_name(guest: &Netlink, index: usize) -> anyhow::Result<LinkName> {
    for candidate in [format!("eth{index}"), format!("cw{index}")] {
        let name = LinkName::new(&candidate)?;
        if guest.link(&name).await?.is_none() {
            return Ok(name);
        }
    }
    anyhow::bail!("eth{index} and cw{index} are both taken in the namespace")
}

/// The switch answers for all addresses, so nothing may be asked about duplicates, and there is no
/// router to solicit.
fn quiet_neighbours(namespace: &Namespace, device: &LinkName) -> anyhow::Result<()> {
    let settings = [
        (Setting::AcceptRa(Scope::Link(device)), 0),
        (Setting::AcceptDad(Scope::Link(device)), 0),
    ];
    match sysctl::write(namespace, &settings) {
        Err(error) if !error.is_missing() => Err(error.into()),
        _ => Ok(()),
    }
}

/// Makes the namespace a router, as a virtual appliance has to be. It must not tell others of a
/// shorter way: in a virtual network there is none.
fn forward(namespace: &Namespace, device: &LinkName) -> anyhow::Result<()> {
    sysctl::write(
        namespace,
        &[
            (Setting::Ipv4Forward, 1),
            (Setting::SendRedirects(Scope::All), 0),
            (Setting::SendRedirects(Scope::Link(device)), 0),
            (Setting::RpFilter(Scope::All), 0),
            (Setting::RpFilter(Scope::Link(device)), 0),
        ],
    )?;
    match sysctl::write(namespace, &[(Setting::Ipv6Forwarding(Scope::All), 1)]) {
        Err(error) if !error.is_missing() => Err(error.into()),
        _ => Ok(()),
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}
