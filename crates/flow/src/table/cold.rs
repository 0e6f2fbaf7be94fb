//! What hits of IPv4 leave alone of one direction.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::packed_key::PackedKey;
use crate::{Offload, Refusal, Stamp, Tick};

/// The far half of an entry. [`Hot`](super::hot::Hot) is the near one.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Cold {
    /// [`PackedKey::far`].
    pub(super) far_key: [u64; 3],
    /// What of the counts has outgrown the hot half, in its units.
    pub(super) packets_high: u32,
    pub(super) bytes_high: u32,
    /// The slot of the other direction, or [`NIL`]; of a vacant slot the next vacant one.
    pub(super) peer: u32,
    /// In units of [`CREATED_SHIFT`].
    created: u32,
    /// The one of the two generations of the stamp that packets are not held against.
    pub(super) other_generation: u32,
    /// When the entry went to the end of its list: [`coarse`] ticks.
    pub(super) queued: u16,
    offload: u16,
}

const _: () = assert!(size_of::<Cold>() == 48);

/// No slot.
pub(super) const NIL: u32 = u32::MAX;

/// An eighth of a second, so that 32 bits last for eighteen years of uptime.
const CREATED_SHIFT: u32 = 27;

/// [`Cold::offload`]; from `ERRNO` on it is a refusal with that errno.
const NOT_OFFLOADED: u16 = 0;
const INSTALLED: u16 = 1;
const ACTIVE: u16 = 2;
const REFUSED_ENCAPSULATION: u16 = 3;
const REFUSED_TABLE_FULL: u16 = 4;
const REFUSED_NO_DEVICE: u16 = 5;
const DEFERRED: u16 = 6;
const REFUSED_ERRNO: u16 = 7;

impl Cold {
    pub(super) fn vacant(next: u32) -> Cold {
        Cold {
            far_key: [0; 3],
            packets_high: 0,
            bytes_high: 0,
            peer: next,
            created: 0,
            other_generation: 0,
            queued: 0,
            offload: NOT_OFFLOADED,
        }
    }

    pub(super) fn occupy(&mut self, key: &PackedKey, now: Tick) {
        let created = u32::try_from(now.0 >> CREATED_SHIFT).unwrap_or(u32::MAX);
        *self = Cold {
            far_key: key.far,
            created,
            ..Cold::vacant(NIL)
        };
    }

    /// Keeps what the hot half does not keep of the stamp of an entry that drops, or does not.
    pub(super) fn decide(&mut self, stamp: &Stamp, drops: bool) {
        self.other_generation = stamp.other_generation(drops);
    }

    pub(super) fn created(&self) -> Tick {
        Tick(u64::from(self.created) << CREATED_SHIFT)
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
