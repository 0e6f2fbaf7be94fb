//! The layouts of `programs/flow.h`.

mod flow_value;

use std::mem::offset_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64};

use flow::{DropReason, FlowKey, PortMode};
use wire::{MacAddr, Vni};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::{DeviceKind, PortStats};

pub(crate) use flow_value::{FlowValue, Unencodable};

pub(crate) const ABI_VERSION: u32 = 2;
/// One more than the largest port number, the uplink's.
pub(crate) const PORTS_MAX: u32 = 4095;
pub(crate) const DEVICE_SLOTS: u32 = 65_536;
pub(crate) const MAPPING_SLOTS: u32 = 65_536;
pub(crate) const TUNNEL_NICS_MAX: u32 = 131_072;
pub(crate) const TUNNEL_PROVIDERS_MAX: u32 = 65_536;
pub(crate) const DROP_REASONS: u32 = 64;
pub(crate) const WINDOW_SHIFT: u32 = 26;

pub(crate) const PORT_DROPS_TO_AGENT: u32 = 1 << 0;
const PORT_IS_TAP: u32 = 1 << 1;

/// What `from_uplink` drops without asking.
pub(crate) const DROPPED_BY_PROGRAM: [DropReason; 5] = [
    DropReason::UnknownDestinationMac,
    DropReason::Broadcast,
    DropReason::Multicast,
    DropReason::UnknownVni,
    DropReason::UnknownProvider,
];

/// `struct port`, which program and agent use at once.
#[repr(C)]
pub(crate) struct Port {
    mac: [AtomicU16; 3],
    router_mac: [AtomicU16; 3],
    pub(crate) ifindex: AtomicU32,
    pub(crate) policy_generation: AtomicU32,
    pub(crate) path_generation: AtomicU32,
    mode: AtomicU32,
    flags: AtomicU32,
    pub(crate) since: AtomicU64,
    pub(crate) exceptions_per_window: AtomicU32,
    pub(crate) resimulations_per_window: AtomicU32,
    window: AtomicU64,
    window_exceptions: AtomicU32,
    window_resimulations: AtomicU32,
}

/// `struct device_slot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct DeviceSlot {
    pub(crate) ifindex: u32,
    pub(crate) port: u32,
}

/// A cell of `mapping_versions`, padded as array maps are.
#[repr(C)]
pub(crate) struct MappingVersion {
    pub(crate) version: AtomicU32,
    pad: AtomicU32,
}

/// `struct agent`.
#[repr(C)]
pub(crate) struct Agent {
    pub(crate) heartbeat_ns: AtomicU64,
    pub(crate) activated: AtomicU64,
    pub(crate) exception_ifindex: AtomicU32,
    pub(crate) abi_version: AtomicU32,
}

/// `struct uplink`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Uplink {
    address: [u8; 16],
    pub(crate) ifindex: u32,
    vxlan_port: [u8; 2],
    family: u8,
    pad: u8,
}

/// `struct tunnel_nic`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct TunnelNic {
    vni: u32,
    mac: [u8; 6],
    pad: u16,
}

/// `struct tunnel_provider`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct TunnelProvider {
    vni: u32,
    address: [u8; 16],
}

/// `struct drop_count`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct DropCount {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// `struct flow_event`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct FlowEvent {
    pub(crate) key: FlowKey,
    pub(crate) tcp_flags: u32,
}

const _: () = {
    assert!(size_of::<FlowKey>() == 40);
    assert!(size_of::<Port>() == 64);
    assert!(offset_of!(Port, router_mac) == 6);
    assert!(offset_of!(Port, ifindex) == 12);
    assert!(offset_of!(Port, mode) == 24);
    assert!(offset_of!(Port, since) == 32);
    assert!(offset_of!(Port, exceptions_per_window) == 40);
    assert!(offset_of!(Port, window) == 48);
    assert!(offset_of!(Port, window_resimulations) == 60);
    assert!(size_of::<DeviceSlot>() == 8);
    assert!(size_of::<MappingVersion>() == 8);
    assert!(size_of::<PortStats>() == 88);
    assert!(offset_of!(PortStats, exceptions) == 32);
    assert!(offset_of!(PortStats, resimulations) == 56);
    assert!(offset_of!(PortStats, dropped_bytes) == 80);
    assert!(size_of::<Agent>() == 24);
    assert!(offset_of!(Agent, activated) == 8);
    assert!(offset_of!(Agent, abi_version) == 20);
    assert!(size_of::<Uplink>() == 24);
    assert!(offset_of!(Uplink, ifindex) == 16);
    assert!(offset_of!(Uplink, family) == 22);
    assert!(size_of::<TunnelNic>() == 12);
    assert!(size_of::<TunnelProvider>() == 20);
    assert!(size_of::<DropCount>() == 16);
    assert!(size_of::<FlowEvent>() == 44);
    assert!(DropReason::SLOTS <= DROP_REASONS as usize);
};

impl Port {
    pub(crate) fn mac(&self) -> MacAddr {
        read_mac(&self.mac)
    }

    /// Frames that pass in between find an address that is neither, and are exceptions.
    pub(crate) fn set_macs(&self, mac: MacAddr, router_mac: MacAddr) {
        write_mac(&self.mac, mac);
        write_mac(&self.router_mac, router_mac);
    }

    pub(crate) fn kind(&self) -> DeviceKind {
        if self.flags.load(Relaxed) & PORT_IS_TAP != 0 {
            DeviceKind::Tap
        } else {
            DeviceKind::Veth
        }
    }

    pub(crate) fn set_kind(&self, kind: DeviceKind) {
        self.set_flag(PORT_IS_TAP, kind == DeviceKind::Tap);
    }

    pub(crate) fn set_flag(&self, flag: u32, on: bool) {
        if on {
            self.flags.fetch_or(flag, Relaxed);
        } else {
            self.flags.fetch_and(!flag, Relaxed);
        }
    }

    /// Who serves it; what the program does not accelerate is synthetic.
    pub(crate) fn mode(&self) -> PortMode {
        if self.mode.load(Relaxed) == 1 {
            PortMode::Accelerated
        } else {
            PortMode::Synthetic
        }
    }

    pub(crate) fn set_mode(&self, mode: PortMode) {
        let number = match mode {
            PortMode::Synthetic => 0,
            PortMode::Accelerated => 1,
        };
        self.mode.store(number, Relaxed);
    }
}

impl Uplink {
    /// An uplink with this device.
    pub(crate) fn new(ifindex: u32, address: IpAddr, vxlan_port: u16) -> Uplink {
        Uplink {
            address: octets(address),
            ifindex,
            vxlan_port: vxlan_port.to_be_bytes(),
            family: if address.is_ipv4() { 4 } else { 6 },
            pad: 0,
        }
    }

    /// The same, without its device: what its entries are read with remains.
    pub(crate) fn without_device(self) -> Uplink {
        Uplink { ifindex: 0, ..self }
    }

    /// Whether there is or was one.
    pub(crate) fn is_known(&self) -> bool {
        self.family != 0
    }

    pub(crate) fn address(&self) -> IpAddr {
        address(&self.address, self.family == 6)
    }

    pub(crate) fn vxlan_port(&self) -> u16 {
        u16::from_be_bytes(self.vxlan_port)
    }
}

impl TunnelNic {
    pub(crate) fn new(vni: Vni, mac: MacAddr) -> TunnelNic {
        TunnelNic {
            vni: vni.get(),
            mac: mac.0,
            pad: 0,
        }
    }

    /// The entry that stands for the VNI itself, with port zero.
    pub(crate) fn segment(vni: Vni) -> TunnelNic {
        TunnelNic::new(vni, MacAddr([0; 6]))
    }
}

impl TunnelProvider {
    pub(crate) fn new(vni: Vni, provider: IpAddr) -> TunnelProvider {
        TunnelProvider {
            vni: vni.get(),
            address: octets(provider),
        }
    }
}

/// An address in a field of sixteen bytes, as flow keys have it.
fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => {
            let mut field = <[u8; 16]>::new_zeroed();
            field[..4].copy_from_slice(&v4.octets());
            field
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn address(field: &[u8; 16], is_ipv6: bool) -> IpAddr {
    if is_ipv6 {
        Ipv6Addr::from(*field).into()
    } else {
        Ipv4Addr::new(field[0], field[1], field[2], field[3]).into()
    }
}

fn read_mac(cells: &[AtomicU16; 3]) -> MacAddr {
    let [a, b, c] = cells
        .each_ref()
        .map(|cell| cell.load(Relaxed).to_ne_bytes());
    MacAddr([a[0], a[1], b[0], b[1], c[0], c[1]])
}

fn write_mac(cells: &[AtomicU16; 3], mac: MacAddr) {
    let [a, b, c, d, e, f] = mac.0;
    for (cell, bytes) in cells.iter().zip([[a, b], [c, d], [e, f]]) {
        cell.store(u16::from_ne_bytes(bytes), Relaxed);
    }
}

#[cfg(test)]
mod tests;
