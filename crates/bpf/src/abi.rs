//! The layouts of `programs/flow.h`, and flows to and from them.

use std::mem::offset_of;

use flow::{
    Counters, DropReason, FlowKey, Half, PortId, PortMode, Stamp, TcpFlags, Tick, Transposition,
    Verdict,
};
use wire::MacAddr;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::{DeviceKind, PortStats};

pub(crate) const ABI_VERSION: u32 = 1;
pub(crate) const MAPPING_SLOTS: u32 = 65_536;
pub(crate) const WINDOW_SHIFT: u32 = 26;

pub(crate) const PORT_DROPS_TO_AGENT: u16 = 1 << 0;
const PORT_IS_TAP: u16 = 1 << 1;

const VERDICT_DROP: u8 = 0;
const VERDICT_DELIVER: u8 = 1;

const FLOW_ACTIVE: u8 = 1 << 0;
const FLOW_DECREMENT_TTL: u8 = 1 << 1;
const FLOW_TARGET_IS_TAP: u8 = 1 << 2;
const FLOW_FORWARD: u8 = 1 << 3;

/// `struct flow_value`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct FlowValue {
    verdict: u8,
    drop_reason: u8,
    flags: u8,
    has_peer: u8,
    target_port: u16,
    mtu: u16,
    target_ifindex: u32,
    eth_dst: [u8; 6],
    eth_src: [u8; 6],
    policy: u32,
    path: u32,
    mapping_slot: u32,
    mapping_version: u32,
    packets: u64,
    bytes: u64,
    last_seen_ns: u64,
    tcp_flags: u32,
    pad: u32,
    peer: FlowKey,
}

/// `struct port`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Port {
    pub(crate) id: u16,
    pub(crate) flags: u16,
    pub(crate) mac: [u8; 6],
    pub(crate) router_mac: [u8; 6],
    pub(crate) policy_generation: u32,
    pub(crate) path_generation: u32,
    pub(crate) exceptions_per_window: u32,
    pub(crate) resimulations_per_window: u32,
    pub(crate) window: u64,
    pub(crate) window_exceptions: u32,
    pub(crate) window_resimulations: u32,
}

/// `struct agent`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Agent {
    pub(crate) heartbeat_ns: u64,
    pub(crate) exception_ifindex: u32,
    pub(crate) abi_version: u32,
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
    assert!(size_of::<FlowValue>() == 112);
    assert!(offset_of!(FlowValue, target_port) == 4);
    assert!(offset_of!(FlowValue, target_ifindex) == 8);
    assert!(offset_of!(FlowValue, eth_dst) == 12);
    assert!(offset_of!(FlowValue, policy) == 24);
    assert!(offset_of!(FlowValue, mapping_version) == 36);
    assert!(offset_of!(FlowValue, packets) == 40);
    assert!(offset_of!(FlowValue, tcp_flags) == 64);
    assert!(offset_of!(FlowValue, peer) == 72);
    assert!(size_of::<Port>() == 48);
    assert!(offset_of!(Port, mac) == 4);
    assert!(offset_of!(Port, router_mac) == 10);
    assert!(offset_of!(Port, policy_generation) == 16);
    assert!(offset_of!(Port, exceptions_per_window) == 24);
    assert!(offset_of!(Port, window) == 32);
    assert!(offset_of!(Port, window_resimulations) == 44);
    assert!(size_of::<PortStats>() == 88);
    assert!(offset_of!(PortStats, exceptions) == 32);
    assert!(offset_of!(PortStats, resimulations) == 56);
    assert!(offset_of!(PortStats, dropped_bytes) == 80);
    assert!(size_of::<Agent>() == 16);
    assert!(size_of::<FlowEvent>() == 44);
};

impl FlowValue {
    /// A half, deactivated and with nothing counted. `target` is the device of the port it
    /// delivers to; a drop has none.
    pub(crate) fn encode(half: &Half, target: Option<(PortId, u32, DeviceKind)>) -> FlowValue {
        let transposition = &half.transposition;
        let mut value = FlowValue {
            mtu: transposition.mtu,
            eth_dst: transposition.eth_dst.0,
            eth_src: transposition.eth_src.0,
            ..FlowValue::new_zeroed()
        };
        value.restamp(half.stamp);
        if let Some(reason) = transposition.drop_reason() {
            value.verdict = VERDICT_DROP;
            value.drop_reason = reason.number();
        }
        if let Some((port, ifindex, kind)) = target {
            value.verdict = VERDICT_DELIVER;
            value.target_port = port.0;
            value.target_ifindex = ifindex;
            value.set(FLOW_TARGET_IS_TAP, kind == DeviceKind::Tap);
        }
        value.set(FLOW_DECREMENT_TTL, transposition.decrement_ttl);
        value.set(FLOW_FORWARD, half.forward);
        if let Some(peer) = half.peer {
            value.has_peer = 1;
            value.peer = peer;
        }
        value
    }

    /// The half this was made from. None if the value is none that this version writes.
    pub(crate) fn decode(&self, key: &FlowKey) -> Option<Half> {
        let verdict = match self.verdict {
            VERDICT_DELIVER => Verdict::Deliver(PortId(self.target_port)),
            VERDICT_DROP => Verdict::Drop(DropReason::from_number(self.drop_reason)?),
            _ => return None,
        };
        Some(Half {
            key: *key,
            transposition: Transposition {
                verdict,
                eth_dst: MacAddr(self.eth_dst),
                eth_src: MacAddr(self.eth_src),
                decrement_ttl: self.is(FLOW_DECREMENT_TTL),
                mtu: self.mtu,
                encap: None,
            },
            stamp: Stamp {
                policy: self.policy,
                path: self.path,
                mapping_slot: self.mapping_slot,
                mapping_version: self.mapping_version,
            },
            peer: (self.has_peer != 0).then_some(self.peer),
            forward: self.is(FLOW_FORWARD),
        })
    }

    pub(crate) fn restamp(&mut self, stamp: Stamp) {
        self.policy = stamp.policy;
        self.path = stamp.path;
        self.mapping_slot = stamp.mapping_slot;
        self.mapping_version = stamp.mapping_version;
    }

    pub(crate) fn counters(&self) -> Counters {
        let [flags, ..] = self.tcp_flags.to_le_bytes();
        Counters {
            packets: self.packets,
            bytes: self.bytes,
            tcp_flags: TcpFlags(flags),
            last_seen: Tick(self.last_seen_ns),
        }
    }

    pub(crate) fn is_active(&self) -> bool {
        self.is(FLOW_ACTIVE)
    }

    pub(crate) fn activate(&mut self) {
        self.set(FLOW_ACTIVE, true);
    }

    /// Whether frames of this entry end up at `port`.
    pub(crate) fn delivers_to(&self, port: PortId) -> bool {
        self.verdict == VERDICT_DELIVER && self.target_port == port.0
    }

    fn is(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn set(&mut self, flag: u8, on: bool) {
        self.flags = if on {
            self.flags | flag
        } else {
            self.flags & !flag
        };
    }
}

impl Port {
    pub(crate) fn kind(&self) -> DeviceKind {
        if self.flags & PORT_IS_TAP != 0 {
            DeviceKind::Tap
        } else {
            DeviceKind::Veth
        }
    }

    pub(crate) fn set_kind(&mut self, kind: DeviceKind) {
        self.set_flag(PORT_IS_TAP, kind == DeviceKind::Tap);
    }

    pub(crate) fn set_flag(&mut self, flag: u16, on: bool) {
        self.flags = if on {
            self.flags | flag
        } else {
            self.flags & !flag
        };
    }
}

/// A port's cell of `port_modes`.
pub(crate) fn mode_number(mode: PortMode) -> u32 {
    match mode {
        PortMode::Synthetic => 0,
        PortMode::Accelerated => 1,
    }
}

/// The mode in a cell of `port_modes`; what the program does not accelerate is synthetic.
pub(crate) fn mode_of(number: u32) -> PortMode {
    if number == 1 {
        PortMode::Accelerated
    } else {
        PortMode::Synthetic
    }
}

#[cfg(test)]
mod tests;
