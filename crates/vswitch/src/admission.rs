//! Anti-spoofing: what a guest may put on the wire at all.

use std::net::IpAddr;

use flow::{DropReason, PortId};
use policy::NicPolicy;

/// Whether an IP packet with these addresses may come from there: from the NIC or, if the port is
/// marked, off the uplink.
pub(crate) fn admit(
    nic: &NicPolicy,
    from: PortId,
    src: IpAddr,
    dst: IpAddr,
) -> Result<(), DropReason> {
    if from.is_from_uplink() {
        admit_arrival(src, dst)
    } else {
        admit_addresses(nic, src, dst)
    }
}

/// Whether an IP packet off the uplink may have these addresses. That its sender has the source is
/// its own host's to see to.
pub(crate) fn admit_arrival(src: IpAddr, dst: IpAddr) -> Result<(), DropReason> {
    if may_be_source(src) && may_be_destination(dst) {
        Ok(())
    } else {
        Err(DropReason::InvalidAddress)
    }
}

/// Whether the NIC may send an IP packet with these addresses.
pub(crate) fn admit_addresses(nic: &NicPolicy, src: IpAddr, dst: IpAddr) -> Result<(), DropReason> {
    admit_arrival(src, dst)?;
    if nic.owns(src) || nic.ip_forwarding {
        Ok(())
    } else {
        Err(DropReason::SpoofedIp)
    }
}

/// Multicast, loopback and unspecified addresses are nobody's (RFC 1122, 3.2.1.3; RFC 4291, 2.5),
/// and link-local ones do not leave their link, which here ends at the switch.
fn may_be_source(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            !(v4.is_multicast() || v4.is_loopback() || v4.is_unspecified() || v4.is_broadcast())
        }
        IpAddr::V6(v6) => {
            !(v6.is_multicast()
                || v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unicast_link_local())
        }
    }
}

/// The metadata service lives at a link-local IPv4 address, so those are allowed as destinations.
fn may_be_destination(address: IpAddr) -> bool {
    may_be_source(address)
}
