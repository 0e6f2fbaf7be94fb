//! One direction as it lies in memory: the line a packet reads, and what a packet writes.

use wire::MacAddr;

use super::class::Class;
use super::encaps::EncapId;
use crate::{
    Counters, DropReason, FlowKey, Offload, PortId, Refusal, Stamp, TcpFlags, Tick, Transposition,
    Verdict,
};

/// What a lookup reads: one cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Hot {
    pub(super) key: FlowKey,
    eth_dst: MacAddr,
    eth_src: MacAddr,
    mtu: u16,
    /// The receiving port, the number of the tunnel end or the drop reason, by the verdict.
    target: u16,
    /// When the entry went to the end of its list: [`coarse`] ticks.
    pub(super) queued: u16,
    /// How often the slot was given away, so that an old [`FlowId`](crate::FlowId) is found out.
    pub(super) generation: u16,
    offload: u16,
    /// See the `BITS` below.
    bits: u8,
    pub(super) tcp_flags: TcpFlags,
}

const _: () = assert!(size_of::<Hot>() == 64 && align_of::<Hot>() == 64);

/// `BITS` of [`Hot::bits`]: the verdict, where zero is a vacant slot.
const VERDICT: u8 = 0b11;
const DELIVER: u8 = 1;
const UPLINK: u8 = 2;
const DROP: u8 = 3;
const DECREMENT_TTL: u8 = 1 << 2;
const FORWARD: u8 = 1 << 3;
const CLASS_SHIFT: u32 = 4;

const NO_ENCAP: u16 = u16::MAX;

/// [`Hot::offload`]; from `ERRNO` on it is a refusal with that errno.
const NOT_OFFLOADED: u16 = 0;
const INSTALLED: u16 = 1;
const ACTIVE: u16 = 2;
const REFUSED_ENCAPSULATION: u16 = 3;
const REFUSED_TABLE_FULL: u16 = 4;
const REFUSED_NO_DEVICE: u16 = 5;
const DEFERRED: u16 = 6;
const REFUSED_ERRNO: u16 = 7;

impl Hot {
    pub(super) fn vacant() -> Hot {
        let nowhere = std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
        Hot {
            key: FlowKey::new(PortId(0), nowhere, nowhere, 0, 0, 0),
            eth_dst: MacAddr([0; 6]),
            eth_src: MacAddr([0; 6]),
            mtu: 0,
            target: 0,
            queued: 0,
            generation: 0,
            offload: NOT_OFFLOADED,
            bits: 0,
            tcp_flags: TcpFlags(0),
        }
    }

    /// Fills a vacant slot; the generation stays.
    pub(super) fn occupy(&mut self, key: FlowKey, forward: bool) {
        let bits = if forward { FORWARD } else { 0 };
        *self = Hot {
            key,
            bits,
            generation: self.generation,
            ..Hot::vacant()
        };
    }

    pub(super) fn vacate(&mut self) {
        self.bits = 0;
        self.generation = self.generation.wrapping_add(1);
    }

    pub(super) fn is_vacant(&self) -> bool {
        self.bits & VERDICT == 0
    }

    pub(super) fn is_forward(&self) -> bool {
        self.bits & FORWARD != 0
    }

    pub(super) fn drops(&self) -> bool {
        self.bits & VERDICT == DROP
    }

    pub(super) fn class(&self) -> Class {
        Class::ALL[usize::from(self.bits >> CLASS_SHIFT)]
    }

    pub(super) fn set_class(&mut self, class: Class) {
        self.bits = self.bits & !(u8::MAX << CLASS_SHIFT) | (class as u8) << CLASS_SHIFT;
    }

    /// Stores a transposition whose tunnel end, if it has one, was interned as `encap`.
    pub(super) fn set_transposition(&mut self, to: &Transposition, encap: Option<EncapId>) {
        let (verdict, target) = match to.verdict {
            Verdict::Deliver(port) => (DELIVER, port.0),
            Verdict::Uplink => (UPLINK, encap.map_or(NO_ENCAP, |id| id.0)),
            Verdict::Drop(reason) => (DROP, u16::from(reason.number())),
        };
        let decrement = if to.decrement_ttl { DECREMENT_TTL } else { 0 };
        self.bits = self.bits & !(VERDICT | DECREMENT_TTL) | verdict | decrement;
        self.target = target;
        self.eth_dst = to.eth_dst;
        self.eth_src = to.eth_src;
        self.mtu = to.mtu;
    }

    /// The tunnel end that [`Hot::transposition`] leaves out.
    pub(super) fn encap(&self) -> Option<EncapId> {
        let named = self.bits & VERDICT == UPLINK && self.target != NO_ENCAP;
        named.then_some(EncapId(self.target))
    }

    /// Of a slot that is not vacant.
    #[inline]
    pub(super) fn verdict(&self) -> Verdict {
        match self.bits & VERDICT {
            DELIVER => Verdict::Deliver(PortId(self.target)),
            UPLINK => Verdict::Uplink,
            _ => Verdict::Drop(self.drop_reason()),
        }
    }

    #[inline]
    pub(super) fn mtu(&self) -> u16 {
        self.mtu
    }

    #[inline]
    pub(super) fn decrements_ttl(&self) -> bool {
        self.bits & DECREMENT_TTL != 0
    }

    #[inline]
    pub(super) fn write_macs(&self, ethernet: &mut [u8; 12]) {
        ethernet[..6].copy_from_slice(&self.eth_dst.0);
        ethernet[6..].copy_from_slice(&self.eth_src.0);
    }

    /// Whether this is the entry of the key, and not a vacant slot that once was.
    #[inline]
    pub(super) fn matches(&self, key: &FlowKey) -> bool {
        let pairs = self.key.words().into_iter().zip(key.words());
        // Without a branch for each word.
        let difference = pairs.fold(0, |difference, (a, b)| difference | a ^ b);
        difference == 0 && !self.is_vacant()
    }

    /// The transposition, without its tunnel end. Of a slot that is not vacant.
    pub(super) fn transposition(&self) -> Transposition {
        Transposition {
            verdict: self.verdict(),
            eth_dst: self.eth_dst,
            eth_src: self.eth_src,
            decrement_ttl: self.decrements_ttl(),
            mtu: self.mtu,
            encap: None,
        }
    }

    fn drop_reason(&self) -> DropReason {
        let number = u8::try_from(self.target).ok();
        number
            .and_then(DropReason::from_number)
            .expect("stored by set_transposition")
    }

    pub(super) fn offload(&self) -> Offload {
        Offload::NotOffloaded(match self.offload {
            NOT_OFFLOADED => None,
            DEFERRED => return Offload::Deferred,
            INSTALLED => return Offload::Installed,
            ACTIVE => return Offload::Active,
            REFUSED_ENCAPSULATION => Some(Refusal::Encapsulation),
            REFUSED_TABLE_FULL => Some(Refusal::TableFull),
            REFUSED_NO_DEVICE => Some(Refusal::NoDevice),
            code => Some(Refusal::System(i32::from(code - REFUSED_ERRNO))),
        })
    }

    pub(super) fn set_offload(&mut self, offload: Offload) {
        self.offload = match offload {
            Offload::NotOffloaded(None) => NOT_OFFLOADED,
            Offload::Deferred => DEFERRED,
            Offload::Installed => INSTALLED,
            Offload::Active => ACTIVE,
            Offload::NotOffloaded(Some(Refusal::Encapsulation)) => REFUSED_ENCAPSULATION,
            Offload::NotOffloaded(Some(Refusal::TableFull)) => REFUSED_TABLE_FULL,
            Offload::NotOffloaded(Some(Refusal::NoDevice)) => REFUSED_NO_DEVICE,
            Offload::NotOffloaded(Some(Refusal::System(errno))) => {
                let errno = errno.clamp(0, i32::from(u16::MAX - REFUSED_ERRNO));
                REFUSED_ERRNO + u16::try_from(errno).expect("clamped to what fits")
            }
        };
    }
}

/// What a packet writes, and what only decisions read.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Cold {
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) last_seen: Tick,
    pub(super) stamp: Stamp,
    /// The slot of the other direction, or [`NIL`]; of a vacant slot the next vacant one.
    pub(super) peer: u32,
    /// In units of [`CREATED_SHIFT`].
    created: u32,
}

const _: () = assert!(size_of::<Cold>() == 48);

/// No slot.
pub(super) const NIL: u32 = u32::MAX;

/// An eighth of a second, so that 32 bits last for eighteen years of uptime.
const CREATED_SHIFT: u32 = 27;

impl Cold {
    pub(super) fn vacant(next: u32) -> Cold {
        let zero = Counters::default();
        Cold {
            packets: zero.packets,
            bytes: zero.bytes,
            last_seen: zero.last_seen,
            stamp: Stamp::default(),
            peer: next,
            created: 0,
        }
    }

    pub(super) fn occupy(&mut self, stamp: Stamp, now: Tick) {
        let created = u32::try_from(now.0 >> CREATED_SHIFT).unwrap_or(u32::MAX);
        *self = Cold {
            stamp,
            created,
            last_seen: now,
            ..Cold::vacant(NIL)
        };
    }

    #[inline]
    pub(super) fn record(&mut self, bytes: u64, now: Tick) {
        self.packets += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        self.last_seen = self.last_seen.max(now);
    }

    /// Something of each cache line that this is in, to be read ahead of need.
    #[inline]
    pub(super) fn touch(&self) -> u64 {
        self.packets ^ u64::from(self.created)
    }

    pub(super) fn created(&self) -> Tick {
        Tick(u64::from(self.created) << CREATED_SHIFT)
    }
}

/// Half a second, so that sixteen bits last for nine hours before they repeat.
const COARSE_SHIFT: u32 = 29;

/// Half of what sixteen bits tell apart: no wait of a list is taken to be longer.
const COARSE_WAIT_MAX: u64 = (u16::MAX / 2) as u64;

/// A time in units of 2^29 ns, modulo 2^16.
pub(super) fn coarse(at: Tick) -> u16 {
    let [low, high, ..] = (at.0 >> COARSE_SHIFT).to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// Whether more than `wait` has surely passed between `queued` and now; a wait of more than five
/// hours counts as that much.
pub(super) fn waited(queued: u16, now: Tick, wait: std::time::Duration) -> bool {
    let units = u64::try_from(wait.as_nanos() >> COARSE_SHIFT).unwrap_or(u64::MAX);
    let units = units.saturating_add(1).min(COARSE_WAIT_MAX);
    u64::from(coarse(now).wrapping_sub(queued)) > units
}

#[cfg(test)]
mod tests;
