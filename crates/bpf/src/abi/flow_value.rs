use std::mem::offset_of;

use flow::{
    Counters, DropReason, Encap, FlowKey, Half, PortId, Stamp, TcpFlags, Tick, Transposition,
    Verdict, outer_source_port,
};
use wire::{MacAddr, Vni};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::{Uplink, address, octets};

const VERDICT_DROP: u8 = 0;
const VERDICT_DELIVER: u8 = 1;
const VERDICT_UPLINK: u8 = 2;

const FLOW_DECREMENT_TTL: u8 = 1 << 0;
const FLOW_FORWARD: u8 = 1 << 1;
const FLOW_OUTER_IPV6: u8 = 1 << 2;

/// `struct flow_value`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct FlowValue {
    verdict: u8,
    drop_reason: u8,
    flags: u8,
    pad: u8,
    target_port: u16,
    mtu: u16,
    vni: u32,
    path: u32,
    policy: u32,
    mapping_version: u32,
    batch: u64,
    mapping_slot: u16,
    eth_dst: [u8; 6],
    eth_src: [u8; 6],
    peer_port: u16,
    packets: u64,
    bytes: u64,
    last_seen_ns: u64,
    tcp_flags: u32,
    outer_source_port: [u8; 2],
    pad2: [u8; 2],
    outer_dst: [u8; 16],
}

const _: () = {
    assert!(size_of::<FlowValue>() == 96);
    assert!(offset_of!(FlowValue, target_port) == 4);
    assert!(offset_of!(FlowValue, path) == 12);
    assert!(offset_of!(FlowValue, batch) == 24);
    assert!(offset_of!(FlowValue, mapping_slot) == 32);
    assert!(offset_of!(FlowValue, eth_src) == 40);
    assert!(offset_of!(FlowValue, packets) == 48);
    assert!(offset_of!(FlowValue, tcp_flags) == 72);
    assert!(offset_of!(FlowValue, outer_dst) == 80);
};

/// What no entry can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unencodable {
    /// The mapping slot is none: the entry would be stale for ever.
    MappingSlot,
    /// The peer is not the key under which the answer arrives.
    Peer,
    /// An uplink verdict without a tunnel end.
    NoEncap,
}

impl FlowValue {
    /// A half that acts once this batch is activated, with nothing counted.
    ///
    /// What all tunnels of the host have in common, its provider address and the VXLAN port, is no
    /// part of the entry.
    pub(crate) fn encode(half: &Half, batch: u64) -> Result<FlowValue, Unencodable> {
        let transposition = &half.transposition;
        let mut value = FlowValue {
            mtu: transposition.mtu,
            eth_dst: transposition.eth_dst.0,
            eth_src: transposition.eth_src.0,
            batch,
            ..FlowValue::new_zeroed()
        };
        value.restamp(half.stamp)?;
        match transposition.verdict {
            Verdict::Drop(reason) => {
                value.verdict = VERDICT_DROP;
                value.drop_reason = reason.number();
            }
            Verdict::Deliver(port) => {
                value.verdict = VERDICT_DELIVER;
                value.target_port = port.0;
            }
            Verdict::Uplink => {
                let encap = transposition.encap.ok_or(Unencodable::NoEncap)?;
                value.push(&half.key, &encap);
            }
        }
        value.set(FLOW_DECREMENT_TTL, transposition.decrement_ttl);
        value.set(FLOW_FORWARD, half.forward);
        if let Some(peer) = half.peer {
            let port = peer.port();
            if port == PortId(0) || peer != half.key.reversed_at(port) {
                return Err(Unencodable::Peer);
            }
            value.peer_port = port.0;
        }
        Ok(value)
    }

    /// The half this was made from, if the uplink was this one then. None if the value is none that
    /// this version writes.
    pub(crate) fn decode(&self, key: &FlowKey, uplink: &Uplink) -> Option<Half> {
        let (verdict, encap) = match self.verdict {
            VERDICT_DELIVER => (Verdict::Deliver(PortId(self.target_port)), None),
            VERDICT_DROP => {
                let reason = DropReason::from_number(self.drop_reason)?;
                (Verdict::Drop(reason), None)
            }
            VERDICT_UPLINK => (Verdict::Uplink, Some(self.encap(uplink)?)),
            _ => return None,
        };
        let peer = (self.peer_port != 0).then(|| key.reversed_at(PortId(self.peer_port)));
        Some(Half {
            key: *key,
            transposition: Transposition {
                verdict,
                eth_dst: MacAddr(self.eth_dst),
                eth_src: MacAddr(self.eth_src),
                decrement_ttl: self.is(FLOW_DECREMENT_TTL),
                mtu: self.mtu,
                encap,
            },
            stamp: Stamp {
                policy: self.policy,
                path: self.path,
                mapping_slot: self.mapping_slot.into(),
                mapping_version: self.mapping_version,
            },
            peer,
            forward: self.is(FLOW_FORWARD),
        })
    }

    pub(crate) fn restamp(&mut self, stamp: Stamp) -> Result<(), Unencodable> {
        let slot = u16::try_from(stamp.mapping_slot).map_err(|_| Unencodable::MappingSlot)?;
        self.policy = stamp.policy;
        self.path = stamp.path;
        self.mapping_slot = slot;
        self.mapping_version = stamp.mapping_version;
        Ok(())
    }

    /// Adds flags that others saw. False if it has seen them all.
    pub(crate) fn note_flags(&mut self, flags: TcpFlags) -> bool {
        let before = self.tcp_flags;
        self.tcp_flags |= u32::from_le_bytes([flags.0, 0, 0, 0]);
        self.tcp_flags != before
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

    /// The activation that lets it act.
    pub(crate) fn batch(&self) -> u64 {
        self.batch
    }

    /// Where its frames end up, if that is a port.
    pub(crate) fn target(&self) -> Option<PortId> {
        (self.verdict == VERDICT_DELIVER).then_some(PortId(self.target_port))
    }

    fn push(&mut self, key: &FlowKey, encap: &Encap) {
        self.verdict = VERDICT_UPLINK;
        self.target_port = PortId::UPLINK.0;
        self.vni = encap.vni.get();
        self.outer_dst = octets(encap.outer_dst);
        self.outer_source_port = outer_source_port(key).to_be_bytes();
        self.set(FLOW_OUTER_IPV6, encap.outer_dst.is_ipv6());
    }

    fn encap(&self, uplink: &Uplink) -> Option<Encap> {
        uplink.is_known().then_some(Encap {
            outer_src: uplink.address(),
            outer_dst: address(&self.outer_dst, self.is(FLOW_OUTER_IPV6)),
            vni: Vni::new(self.vni)?,
            dst_port: uplink.vxlan_port(),
        })
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
