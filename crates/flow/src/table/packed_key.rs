//! A key as an entry holds it: all that an IPv4 key says fits beside what else a hit reads; an IPv6
//! key has more, which lies farther off.

use crate::{FlowKey, PortId};

/// All of a key, in two parts.
///
/// Bytes of an IPv4 key that no address reaches are not kept, and have no part in what is equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PackedKey {
    /// L4 ports, protocol, family and switch port; both addresses of IPv4, half of the source of
    /// IPv6.
    pub(super) near: [u64; 2],
    /// The rest of IPv6; zero for IPv4.
    pub(super) far: [u64; 3],
}

/// Where in a word of a key, read as little-endian, an IPv4 address is.
const IPV4: u64 = u32::MAX as u64;

impl PackedKey {
    #[inline(always)] // The key is in registers yet, and of IPv4 most of it is known to be zero.
    pub(super) fn of(key: &FlowKey) -> PackedKey {
        let [src, src_rest, dst, dst_rest, last] = key.words();
        if key.is_ipv4() {
            PackedKey {
                near: [last, src.to_le() & IPV4 | dst.to_le() << IPV4.count_ones()],
                far: [0; 3],
            }
        } else {
            PackedKey {
                near: [last, src_rest],
                far: [src, dst, dst_rest],
            }
        }
    }

    pub(super) fn key(&self) -> FlowKey {
        let [last, rest] = self.near;
        if is_ipv4(last) {
            let (src, dst) = (rest & IPV4, rest >> IPV4.count_ones());
            FlowKey::of_words([u64::from_le(src), 0, u64::from_le(dst), 0, last])
        } else {
            let [src, dst, dst_rest] = self.far;
            FlowKey::of_words([src, rest, dst, dst_rest, last])
        }
    }

    /// Whether the far part says anything.
    #[inline]
    pub(super) fn is_wide(&self) -> bool {
        !is_ipv4(self.near[0])
    }
}

/// As [`FlowKey::owner`], of the first near word.
pub(super) fn owner(last: u64) -> PortId {
    let [.., high, low] = last.to_ne_bytes();
    PortId(u16::from_ne_bytes([high, low])).guest()
}

#[inline]
fn is_ipv4(last: u64) -> bool {
    let [_, _, _, _, _, family, ..] = last.to_ne_bytes();
    family == 4
}

#[cfg(test)]
mod tests;
