use std::net::IpAddr;

use wire::{MacAddr, Vni};

use crate::{DropReason, PortId};

/// What is to happen to a frame of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It goes to the guest behind this port.
    Deliver(PortId),
    /// It leaves the host, encapsulated as [`Transposition::encap`] says.
    Uplink,
    /// It ends here, for this reason.
    Drop(DropReason),
}

/// The header pushes and rewrites of one direction of a flow, or its drop.
///
/// Inner headers keep their TTL as the cloud does (SEMANTICS D3), unless the virtual network was
/// told to count as a router hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Transposition {
    /// Where the frame goes.
    pub verdict: Verdict,
    /// The Ethernet destination it is given: the receiving NIC's address.
    pub eth_dst: MacAddr,
    /// The Ethernet source it is given: the virtual router's address.
    pub eth_src: MacAddr,
    /// Whether TTL or hop limit goes down by one. A frame that would reach zero is an exception.
    pub decrement_ttl: bool,
    /// The largest IP packet the receiver takes, in bytes. A longer one is an exception, unless it
    /// is a segment that offloads will cut to fit.
    pub mtu: u16,
    /// The outer header to push, for [`Verdict::Uplink`].
    pub encap: Option<Encap>,
}

impl Transposition {
    /// A transposition that drops.
    pub const fn drop(reason: DropReason) -> Transposition {
        Transposition {
            verdict: Verdict::Drop(reason),
            eth_dst: MacAddr([0; 6]),
            eth_src: MacAddr([0; 6]),
            decrement_ttl: false,
            mtu: u16::MAX,
            encap: None,
        }
    }

    /// The reason, when this drops.
    pub fn drop_reason(&self) -> Option<DropReason> {
        match self.verdict {
            Verdict::Drop(reason) => Some(reason),
            Verdict::Deliver(_) | Verdict::Uplink => None,
        }
    }

    /// The port it delivers to, when it does.
    pub fn receiver(&self) -> Option<PortId> {
        match self.verdict {
            Verdict::Deliver(port) => Some(port),
            Verdict::Uplink | Verdict::Drop(_) => None,
        }
    }

    /// The tunnel end that the verdict makes use of.
    pub(crate) fn tunnel_end(&self) -> Option<&Encap> {
        self.encap
            .as_ref()
            .filter(|_| self.verdict == Verdict::Uplink)
    }
}

/// A VXLAN tunnel end: what the outer header says (RFC 7348, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Encap {
    /// Our provider address.
    pub outer_src: IpAddr,
    /// The provider address of the host behind which the customer address lives.
    pub outer_dst: IpAddr,
    /// The virtual network's identifier.
    pub vni: Vni,
    /// The UDP port VXLAN is received on.
    pub dst_port: u16,
}

impl Encap {
    /// The bytes that it puts before a frame: 50 over IPv4, 70 over IPv6, Ethernet header included.
    pub const fn overhead(&self) -> usize {
        const ETHERNET: usize = 14;
        const UDP_AND_VXLAN: usize = 8 + 8;
        match self.outer_dst {
            IpAddr::V4(_) => ETHERNET + 20 + UDP_AND_VXLAN,
            IpAddr::V6(_) => ETHERNET + 40 + UDP_AND_VXLAN,
        }
    }
}
