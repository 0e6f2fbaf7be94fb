//! What a hit reads and writes of one direction: one cache line, and of IPv4 nothing else.

use wire::MacAddr;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::class::Class;
use super::cold::Cold;
use super::encaps::EncapId;
use super::packed_key::{self, PackedKey};
use super::types::Basis;
use crate::{DropReason, Offload, PortId, Stamp, TcpFlags, Tick, Transposition, Verdict};

/// The near half of an entry. [`Cold`] is the far one.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub(super) struct Hot {
    /// [`PackedKey::near`].
    key: [u64; 2],
    /// Packets from bit [`PACKETS_SHIFT`] on, and bytes below it. What does not fit is in the cold
    /// half; the highest bit of either tells when it is time to move it there.
    tally: u64,
    last_seen: u64,
    basis: Basis,
    eth_dst: MacAddr,
    eth_src: MacAddr,
    mtu: u16,
    /// The receiving port, the number of the tunnel end or the drop reason, by the verdict.
    target: u16,
    /// How often the slot was given away, so that an old [`FlowId`](crate::FlowId) is found out.
    pub(super) generation: u16,
    /// See the `BITS` below.
    bits: u8,
    tcp_flags: u8,
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
const CLASS: u8 = 0b111 << CLASS_SHIFT;
const DEFERRED: u8 = 1 << 7;

const NO_ENCAP: u16 = u16::MAX;

const PACKETS_SHIFT: u32 = 40;
/// How many bits of packets and of bytes are here at rest.
const PACKETS_BITS: u32 = u64::BITS - PACKETS_SHIFT - 1;
const BYTES_BITS: u32 = PACKETS_SHIFT - 1;
/// The bits that a sum reaches when one of the two no longer fits.
const TALLY_FULL: u64 = 1 << (u64::BITS - 1) | 1 << BYTES_BITS;

impl Hot {
    pub(super) fn vacant() -> Hot {
        Hot {
            key: [0; 2],
            tally: 0,
            last_seen: 0,
            basis: Stamp::default().basis(false),
            eth_dst: MacAddr([0; 6]),
            eth_src: MacAddr([0; 6]),
            mtu: 0,
            target: 0,
            generation: 0,
            bits: 0,
            tcp_flags: 0,
        }
    }

    /// Fills a vacant slot, which is to be given a decision; the generation stays.
    pub(super) fn occupy(&mut self, key: &PackedKey, forward: bool, now: Tick) {
        *self = Hot {
            key: key.near,
            last_seen: now.0,
            bits: if forward { FORWARD } else { 0 },
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
        Class::ALL[usize::from((self.bits & CLASS) >> CLASS_SHIFT)]
    }

    pub(super) fn set_class(&mut self, class: Class) {
        self.bits = self.bits & !CLASS | (class as u8) << CLASS_SHIFT;
    }

    /// [`Offload::Deferred`], which the next packet has to know. The rest is in the cold half.
    #[inline]
    pub(super) fn is_deferred(&self) -> bool {
        self.bits & DEFERRED != 0
    }

    pub(super) fn note_offload(&mut self, offload: Offload) {
        let deferred = offload == Offload::Deferred;
        self.bits = self.bits & !DEFERRED | if deferred { DEFERRED } else { 0 };
    }

    /// Stores a transposition whose tunnel end, if it has one, was interned as `encap`, and what
    /// of the stamp packets are held against.
    pub(super) fn decide(&mut self, to: &Transposition, stamp: &Stamp, encap: Option<EncapId>) {
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
        self.basis = stamp.basis(verdict == DROP);
    }

    /// What a packet is held against.
    #[inline]
    pub(super) fn basis(&self) -> &Basis {
        &self.basis
    }

    /// The tunnel end that [`Hot::transposition`] leaves out.
    #[inline]
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

    /// Whether this can be the entry of the key: for IPv4 whether it is, for IPv6 the far part of
    /// the key has still to be compared. A vacant slot is no entry, even if it once was.
    #[inline]
    pub(super) fn may_match(&self, key: &PackedKey) -> bool {
        let ([a, b], [c, d]) = (self.key, key.near);
        (a ^ c | b ^ d) == 0 && !self.is_vacant()
    }

    pub(super) fn key(&self, cold: &Cold) -> PackedKey {
        PackedKey {
            near: self.key,
            far: cold.far_key,
        }
    }

    /// The guest port the entry belongs to.
    pub(super) fn owner(&self) -> PortId {
        packed_key::owner(self.key[0])
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
            .expect("stored by decide")
    }

    #[inline]
    pub(super) fn tcp_flags(&self) -> TcpFlags {
        TcpFlags(self.tcp_flags)
    }

    /// Whether any of them is new.
    #[inline]
    pub(super) fn add_tcp_flags(&mut self, flags: TcpFlags) -> bool {
        let new = !self.tcp_flags().contains(flags);
        self.tcp_flags |= flags.0;
        new
    }

    #[inline]
    pub(super) fn last_seen(&self) -> Tick {
        Tick(self.last_seen)
    }

    #[inline]
    pub(super) fn see(&mut self, at: Tick) {
        self.last_seen = self.last_seen.max(at.0);
    }

    /// Counts a packet, unless it is for [`Hot::add`].
    #[inline]
    pub(super) fn count(&mut self, bytes: u64) -> bool {
        let sum = self
            .tally
            .wrapping_add(1 << PACKETS_SHIFT)
            .wrapping_add(bytes);
        let fits = bytes >> BYTES_BITS == 0 && sum & TALLY_FULL == 0;
        if fits {
            self.tally = sum;
        }
        fits
    }

    /// Packets and bytes.
    pub(super) fn counted(&self, cold: &Cold) -> (u64, u64) {
        let packets = self.tally >> PACKETS_SHIFT;
        let bytes = self.tally & low_bits(PACKETS_SHIFT);
        (
            u64::from(cold.packets_high) << PACKETS_BITS | packets,
            u64::from(cold.bytes_high) << BYTES_BITS | bytes,
        )
    }

    /// Adds to packets and bytes; they stop at the most that there is room for, which no flow
    /// reaches in a hundred years.
    #[cold]
    pub(super) fn add(&mut self, packets: u64, bytes: u64, cold: &mut Cold) {
        let (old_packets, old_bytes) = self.counted(cold);
        let packets = old_packets.saturating_add(packets).min(PACKETS_MAX);
        let bytes = old_bytes.saturating_add(bytes);
        let high = |total: u64, bits| u32::try_from(total >> bits).unwrap_or(u32::MAX);
        cold.packets_high = high(packets, PACKETS_BITS);
        cold.bytes_high = high(bytes, BYTES_BITS);
        let packets = packets & low_bits(PACKETS_BITS);
        self.tally = packets << PACKETS_SHIFT | bytes & low_bits(BYTES_BITS);
    }
}

const PACKETS_MAX: u64 = low_bits(u32::BITS + PACKETS_BITS);

const fn low_bits(count: u32) -> u64 {
    (1 << count) - 1
}

#[cfg(test)]
mod tests;
