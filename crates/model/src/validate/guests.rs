//! Guests and NICs: associations, addresses, Ethernet addresses.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use wire::MacAddr;

use super::addresses::{Addresses, mac_of};
use super::names::Names;
use super::{limit, limits, unique};
use crate::diagnostics::{Code, Sink};
use crate::document::extract::suggestion;
use crate::document::node::shorten;
use crate::document::{self, Document};
use crate::place::At;
use crate::topology::{Guest, Nic, NicAddress, NicName, Subnet, Vnet};

/// The virtual network that each application group's members are in.
pub(super) type Membership = HashMap<String, String>;

/// A NIC on its way: looked up, with the addresses its author wrote.
struct Draft<'d> {
    name: NicName,
    nic: &'d document::Nic,
    /// The subnet, with its network's name as the document has it.
    home: Option<(&'d str, &'d Subnet)>,
    addresses: Vec<NicAddress>,
    mac: Option<MacAddr>,
}

pub(super) fn resolve<'d>(
    document: &'d Document,
    names: &Names<'_>,
    vnets: &'d BTreeMap<String, Vnet>,
    sink: &mut Sink,
) -> (BTreeMap<String, Guest>, Membership) {
    let mut addresses = Addresses::default();
    let mut macs = HashMap::new();
    reserve_mappings(document, vnets, &mut addresses, &mut macs, sink);
    // Everything written is taken before anything is given.
    let mut drafts = Vec::new();
    for (name, guest) in &document.guests {
        check_guest(name, guest, sink);
        for nic in &guest.nics {
            drafts.push(draft(
                &name.value,
                nic,
                vnets,
                &mut addresses,
                &mut macs,
                sink,
            ));
        }
    }
    let mut membership = Membership::new();
    let mut members: HashMap<String, usize> = HashMap::new();
    let mut guests: BTreeMap<String, Guest> = document
        .guests
        .iter()
        .map(|(name, guest)| {
            let (kind, netns) = (guest.kind, guest.netns.clone());
            (
                name.value.clone(),
                Guest {
                    kind,
                    netns,
                    nics: Vec::new(),
                },
            )
        })
        .collect();
    for draft in drafts {
        let asgs = join(draft.nic, names, &mut membership, &mut members, sink);
        let nsg = names.nsg(draft.nic.nsg.as_ref(), sink);
        let guest = draft.name.guest().to_owned();
        if let Some(nic) = finish(draft, asgs, nsg, &mut addresses, &mut macs, sink)
            && let Some(guest) = guests.get_mut(&guest)
        {
            guest.nics.push(nic);
        }
    }
    for (name, _) in &document.vnets {
        let count = addresses
            .counts()
            .get(name.value.as_str())
            .copied()
            .unwrap_or_default();
        limit(
            count,
            limits::ADDRESSES_PER_VNET_MAX,
            "addresses in use",
            &name.place,
            sink,
        );
    }
    (guests, membership)
}

/// Addresses that live elsewhere are not free here.
fn reserve_mappings<'d>(
    document: &'d Document,
    vnets: &'d BTreeMap<String, Vnet>,
    addresses: &mut Addresses<'d>,
    macs: &mut HashMap<MacAddr, String>,
    sink: &mut Sink,
) {
    for mapping in &document.mappings {
        let owner = format!("the mapping on line {}", mapping.address.place.span.line);
        macs.entry(mapping.mac.value)
            .or_insert_with(|| owner.clone());
        // An unknown network is reported with the mappings.
        let Some((name, vnet)) = vnets.get_key_value(&mapping.vnet.value) else {
            continue;
        };
        match vnet.subnet_with(mapping.address.value) {
            Some((_, subnet)) => {
                addresses.take(name, subnet, &mapping.address, &owner, sink);
            }
            None => {
                let message = format!("{} is in no subnet of `{name}`", mapping.address.value);
                sink.error(&mapping.address.place, Code::Address, message);
            }
        }
    }
}

fn check_guest(name: &At<String>, guest: &document::Guest, sink: &mut Sink) {
    limit(
        guest.nics.len(),
        limits::NICS_PER_GUEST_MAX,
        "NICs",
        &name.place,
        sink,
    );
    unique(guest.nics.iter().map(|nic| &nic.name), "a NIC named", sink);
    let addresses = guest.nics.iter().map(|nic| nic.addresses.len()).sum();
    limit(
        addresses,
        limits::ADDRESSES_PER_NIC_MAX,
        "addresses of one guest",
        &name.place,
        sink,
    );
}

fn draft<'d>(
    guest: &str,
    nic: &'d document::Nic,
    vnets: &'d BTreeMap<String, Vnet>,
    addresses: &mut Addresses<'d>,
    macs: &mut HashMap<MacAddr, String>,
    sink: &mut Sink,
) -> Draft<'d> {
    // A slash in either was reported where the name was read.
    let name = NicName::of(&guest.replace('/', "-"), &nic.name.value.replace('/', "-"));
    let home = home(nic, vnets, sink);
    let owner = format!("`{name}`");
    let taken = nic
        .addresses
        .iter()
        .filter_map(|address| {
            let (vnet, subnet) = home?;
            addresses.take(vnet, subnet, address, &owner, sink)
        })
        .collect();
    if let Some(mac) = &nic.mac {
        match macs.get(&mac.value) {
            Some(other) => {
                let message = format!("{} is the Ethernet address of {other}", mac.value);
                sink.error(&mac.place, Code::Duplicate, message);
            }
            None => {
                macs.insert(mac.value, owner);
            }
        }
    }
    Draft {
        name,
        nic,
        home,
        addresses: taken,
        mac: nic.mac.as_ref().map(|mac| mac.value),
    }
}

fn home<'d>(
    nic: &document::Nic,
    vnets: &'d BTreeMap<String, Vnet>,
    sink: &mut Sink,
) -> Option<(&'d str, &'d Subnet)> {
    let (vnet, subnet) = &nic.subnet.value;
    let Some((name, network)) = vnets.get_key_value(vnet) else {
        let message = format!("no virtual network `{}`", shorten(vnet));
        let help = suggestion(vnet, vnets.keys().map(String::as_str));
        sink.error_help(&nic.subnet.place, Code::UnknownReference, message, help);
        return None;
    };
    let found = network.subnets.get(subnet);
    if found.is_none() {
        let message = format!(
            "no subnet `{}` in virtual network `{vnet}`",
            shorten(subnet)
        );
        let help = suggestion(subnet, network.subnets.keys().map(String::as_str));
        sink.error_help(&nic.subnet.place, Code::UnknownReference, message, help);
    }
    found.map(|subnet| (name.as_str(), subnet))
}

/// Makes the NIC a member of its groups, all of whose members are in one network.
fn join(
    nic: &document::Nic,
    names: &Names<'_>,
    membership: &mut Membership,
    members: &mut HashMap<String, usize>,
    sink: &mut Sink,
) -> Vec<String> {
    unique(&nic.asgs, "membership of", sink);
    limit(
        nic.asgs.len(),
        limits::ASGS_PER_NIC_MAX,
        "memberships",
        &nic.name.place,
        sink,
    );
    let vnet = &nic.subnet.value.0;
    let mut joined = Vec::with_capacity(nic.asgs.len());
    for asg in &nic.asgs {
        let Some(name) = names.asg(asg, sink) else {
            continue;
        };
        let home = membership
            .entry(name.clone())
            .or_insert_with(|| vnet.clone());
        if home != vnet {
            let message = format!(
                "`{name}` has members in virtual network `{home}`, and this NIC is in `{vnet}`"
            );
            let help = "all members of a group must be in one virtual network".to_owned();
            sink.error_help(&asg.place, Code::Conflict, message, help);
        }
        let count = members.entry(name.clone()).or_default();
        *count += 1;
        if *count == limits::MEMBERS_PER_ASG_MAX + 1 {
            limit(
                *count,
                limits::MEMBERS_PER_ASG_MAX,
                "members of a group",
                &asg.place,
                sink,
            );
        }
        joined.push(name);
    }
    joined.sort_unstable();
    joined.dedup();
    joined
}

fn finish<'d>(
    draft: Draft<'d>,
    asgs: Vec<String>,
    nsg: Option<String>,
    addresses: &mut Addresses<'d>,
    macs: &mut HashMap<MacAddr, String>,
    sink: &mut Sink,
) -> Option<Nic> {
    let (vnet, subnet) = draft.home?;
    let owner = format!("`{}`", draft.name);
    let mut own = draft.addresses;
    if draft.nic.addresses.is_empty() {
        for ipv4 in [true, false] {
            match addresses.allocate(vnet, subnet, ipv4, &owner) {
                Some(address) => own.extend(address),
                None => {
                    let family = if ipv4 { "IPv4" } else { "IPv6" };
                    let message = format!("no free {family} address in the subnet");
                    sink.error(&draft.nic.subnet.place, Code::Address, message);
                }
            }
        }
    }
    let ipv6 = own
        .iter()
        .any(|address| matches!(address.address, IpAddr::V6(_)));
    if let Some(mtu) = draft.nic.mtu
        && ipv6
        && mtu < limits::MTU_IPV6_MIN
    {
        let message = format!(
            "MTU {mtu} on a NIC with an IPv6 address, which needs {} at least",
            limits::MTU_IPV6_MIN
        );
        sink.error(&draft.nic.name.place, Code::BadValue, message);
    }
    let mac = draft.mac.unwrap_or_else(|| mac_of(&draft.name, macs));
    macs.insert(mac, owner);
    Some(Nic {
        name: draft.name.nic().to_owned(),
        vnet: vnet.to_owned(),
        subnet: draft.nic.subnet.value.1.clone(),
        addresses: own,
        mac,
        nsg,
        asgs,
        accelerated_networking: draft.nic.accelerated_networking,
        ip_forwarding: draft.nic.ip_forwarding,
        mtu: draft.nic.mtu,
    })
}
