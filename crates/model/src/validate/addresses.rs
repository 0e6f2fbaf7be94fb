//! Who has which address: the written ones first, then the first free ones.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use wire::MacAddr;

use crate::diagnostics::{Code, Sink};
use crate::place::At;
use crate::topology::{NicAddress, NicName, Subnet};

/// The first addresses of a subnet that are the platform's: its own, the gateway and two for DNS.
/// The last is as well.
const RESERVED_FIRST: u128 = 4;

/// Addresses in use, with a name for messages.
#[derive(Default)]
pub(super) struct Addresses<'d> {
    taken: HashMap<(&'d str, IpAddr), String>,
    /// Per network, how many.
    counts: HashMap<&'d str, usize>,
    /// Where the search in a prefix goes on.
    next: HashMap<(&'d str, IpNet), u128>,
}

impl<'d> Addresses<'d> {
    /// Takes an address the author wrote; reports it when it cannot be had.
    pub(super) fn take(
        &mut self,
        vnet: &'d str,
        subnet: &Subnet,
        address: &At<IpAddr>,
        owner: &str,
        sink: &mut Sink,
    ) -> Option<NicAddress> {
        let Some(prefix) = subnet.prefix_of(address.value) else {
            let prefixes: Vec<String> = subnet
                .prefixes
                .iter()
                .take(4)
                .map(ToString::to_string)
                .collect();
            let message = format!(
                "{} is not in the subnet's {}",
                address.value,
                prefixes.join(", ")
            );
            sink.error(&address.place, Code::Address, message);
            return None;
        };
        let (first, last) = usable(prefix);
        if !(first..=last).contains(&bits(address.value)) {
            let message = format!("{} is reserved in {prefix}", address.value);
            let family = address.value.is_ipv4();
            let help = format!(
                "usable are {} to {}",
                from_bits(first, family),
                from_bits(last, family)
            );
            sink.error_help(&address.place, Code::Address, message, help);
            return None;
        }
        if let Some(other) = self.taken.get(&(vnet, address.value)) {
            let message = format!("{} is taken by {other}", address.value);
            sink.error(&address.place, Code::Duplicate, message);
            return None;
        }
        self.insert(vnet, address.value, owner.to_owned());
        Some(resolved(address.value, prefix))
    }

    /// The first free address of this family in the subnet. `None` when it is full, `Some(None)`
    /// when it has no prefix of that family.
    pub(super) fn allocate(
        &mut self,
        vnet: &'d str,
        subnet: &Subnet,
        ipv4: bool,
        owner: &str,
    ) -> Option<Option<NicAddress>> {
        let mut of_family = false;
        for prefix in subnet
            .prefixes
            .iter()
            .filter(|prefix| prefix.addr().is_ipv4() == ipv4)
        {
            of_family = true;
            let (first, last) = usable(*prefix);
            let mut candidate = *self.next.get(&(vnet, *prefix)).unwrap_or(&first);
            while candidate <= last && self.taken.contains_key(&(vnet, from_bits(candidate, ipv4)))
            {
                candidate += 1;
            }
            self.next.insert((vnet, *prefix), candidate);
            if candidate <= last {
                let address = from_bits(candidate, ipv4);
                self.insert(vnet, address, owner.to_owned());
                return Some(Some(resolved(address, *prefix)));
            }
        }
        if of_family { None } else { Some(None) }
    }

    pub(super) fn counts(&self) -> &HashMap<&'d str, usize> {
        &self.counts
    }

    fn insert(&mut self, vnet: &'d str, address: IpAddr, owner: String) {
        self.taken.insert((vnet, address), owner);
        *self.counts.entry(vnet).or_default() += 1;
    }
}

/// An Ethernet address made from the NIC's name, the same wherever and whenever it is made: locally
/// administered, unicast, and not one of `taken`.
pub(super) fn mac_of(name: &NicName, taken: &HashMap<MacAddr, String>) -> MacAddr {
    let text = name.to_string();
    let mut attempt: u8 = 0;
    loop {
        let [a, b, c, d, e, ..] = fnv1a(text.as_bytes(), attempt).to_be_bytes();
        let mac = MacAddr([0x02, a, b, c, d, e]);
        if !taken.contains_key(&mac) {
            return mac;
        }
        attempt = attempt.wrapping_add(1);
    }
}

/// FNV-1a, 64 bits: no secret to keep, only a spread that never changes between versions.
fn fnv1a(bytes: &[u8], salt: u8) -> u64 {
    bytes
        .iter()
        .chain([&salt])
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}

fn resolved(address: IpAddr, prefix: IpNet) -> NicAddress {
    NicAddress {
        address,
        prefix_length: prefix.prefix_len(),
        gateway: Subnet::gateway(prefix),
    }
}

/// The first and the last address a NIC can have.
fn usable(prefix: IpNet) -> (u128, u128) {
    let (first, last) = match prefix {
        IpNet::V4(prefix) => (
            u128::from(prefix.network().to_bits()),
            u128::from(prefix.broadcast().to_bits()),
        ),
        IpNet::V6(prefix) => (prefix.network().to_bits(), prefix.broadcast().to_bits()),
    };
    (first.saturating_add(RESERVED_FIRST), last.saturating_sub(1))
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn from_bits(bits: u128, ipv4: bool) -> IpAddr {
    match u32::try_from(bits) {
        Ok(bits) if ipv4 => IpAddr::V4(Ipv4Addr::from_bits(bits)),
        _ => IpAddr::V6(Ipv6Addr::from_bits(bits)),
    }
}
