//! The hash of a key: seeded, inline, and of a fixed length, because every packet pays for it.

use super::packed_key::PackedKey;

/// Secrets of a hash function that guests cannot guess.
pub(super) struct KeyHasher {
    secrets: [u64; 6],
}

impl KeyHasher {
    pub(super) fn new(seed: u64) -> KeyHasher {
        /// An odd number near 2^64 divided by the golden ratio.
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut state = seed;
        let secrets = [(); 6].map(|()| {
            state = state.wrapping_add(STEP);
            mix(state)
        });
        KeyHasher { secrets }
    }

    /// All bits of the result depend on all of the key.
    ///
    /// Each step multiplies two words that a secret hides and adds up the halves of the product, as
    /// wyhash and foldhash do.
    #[inline]
    pub(super) fn hash(&self, key: &PackedKey) -> u64 {
        let ([a, b], [c, d, e]) = (key.near, key.far);
        let secrets = &self.secrets;
        let near = fold(a ^ secrets[0], b ^ secrets[1]);
        if !key.is_wide() {
            return fold(near ^ secrets[2], secrets[3]);
        }
        let far = fold(c ^ secrets[2], d ^ secrets[3]) ^ fold(e ^ secrets[4], secrets[5]);
        fold(near ^ secrets[4], far ^ secrets[5])
    }
}

/// The lower half of the product, changed by the upper half.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    const LOW: u128 = u64::MAX as u128;
    let product = u128::from(a) * u128::from(b);
    (product & LOW) as u64 ^ (product >> 64) as u64
}

/// The finaliser of splitmix64.
fn mix(state: u64) -> u64 {
    let state = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ state >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ state >> 31
}

#[cfg(test)]
mod tests;
