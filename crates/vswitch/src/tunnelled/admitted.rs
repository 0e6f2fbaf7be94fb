//! Tunnels that the policy of now lets in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use flow::PortId;
use policy::Snapshot;
use wire::Vni;

/// What a frame off the uplink is let in by: who sent it, into which network, and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tunnel {
    /// The bits of the provider address it came from.
    provider: u128,
    vni: Vni,
    /// The Ethernet destination of the inner frame, then [`IPV4`] or [`IPV6`] for the provider
    /// address, then zero: in one word, because every frame compares it.
    destination: [u8; 8],
}

const IPV4: u8 = 4;
const IPV6: u8 = 6;

impl Tunnel {
    #[inline(always)]
    pub(crate) fn over_ipv4(provider: [u8; 4], vni: Vni, destination: [u8; 6]) -> Tunnel {
        let [a, b, c, d, e, f] = destination;
        Tunnel {
            provider: u128::from(u32::from_be_bytes(provider)),
            vni,
            destination: [a, b, c, d, e, f, IPV4, 0],
        }
    }

    #[inline(always)]
    pub(crate) fn over_ipv6(provider: [u8; 16], vni: Vni, destination: [u8; 6]) -> Tunnel {
        let [a, b, c, d, e, f] = destination;
        Tunnel {
            provider: u128::from_be_bytes(provider),
            vni,
            destination: [a, b, c, d, e, f, IPV6, 0],
        }
    }

    fn provider(&self) -> IpAddr {
        let v6 = Ipv6Addr::from_bits(self.provider);
        match self.destination {
            [.., IPV4, _] => {
                let [.., a, b, c, d] = v6.octets();
                Ipv4Addr::new(a, b, c, d).into()
            }
            _ => v6.into(),
        }
    }

    fn destination(&self) -> [u8; 6] {
        let [a, b, c, d, e, f, ..] = self.destination;
        [a, b, c, d, e, f]
    }

    /// Where it is remembered. Who finds two of one place makes us look both up, and no more.
    #[inline(always)]
    fn place(&self) -> usize {
        /// An odd number near 2^64 divided by the golden ratio.
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        const HALF: u128 = u64::MAX as u128;
        let provider = (self.provider >> 64) as u64 ^ (self.provider & HALF) as u64;
        let mixed = provider.rotate_left(24)
            ^ u64::from(self.vni.get()).rotate_left(40)
            ^ u64::from_ne_bytes(self.destination);
        let [.., last] = mixed.wrapping_mul(SPREAD).to_le_bytes();
        usize::from(last) % CELLS
    }
}

/// A memory of the tunnels that were let in last, so that for most frames one comparison takes the
/// place of three lookups. It says nothing but what the policy says, so it is emptied when another
/// becomes the current one.
pub(crate) struct Admitted {
    cells: Box<[Cell; CELLS]>,
}

const CELLS: usize = 128;

#[derive(Clone, Copy)]
struct Cell {
    tunnel: Tunnel,
    owner: PortId,
}

impl Cell {
    /// Of no tunnel: a provider address is of one family or the other.
    const EMPTY: Cell = Cell {
        tunnel: Tunnel {
            provider: 0,
            vni: Vni::MAX,
            destination: [0; 8],
        },
        owner: PortId(0),
    };
}

impl Admitted {
    pub(crate) fn nothing() -> Admitted {
        Admitted {
            cells: Box::new([Cell::EMPTY; CELLS]),
        }
    }

    /// To be called when another policy is the current one.
    pub(crate) fn forget(&mut self) {
        self.cells.fill(Cell::EMPTY);
    }

    /// The port of the NIC that a frame out of this tunnel is for, if the policy, which is that of
    /// now, lets it in.
    #[inline(always)] // The tunnel is in registers yet.
    pub(crate) fn owner(&mut self, policy: &Snapshot, tunnel: &Tunnel) -> Option<PortId> {
        let cell = &mut self.cells[tunnel.place()];
        if cell.tunnel == *tunnel {
            return Some(cell.owner);
        }
        let owner = look_up(policy, tunnel)?;
        *cell = Cell {
            tunnel: *tunnel,
            owner,
        };
        Some(owner)
    }
}

/// As [`Switch::receiver_off_uplink`](crate::Switch::receiver_off_uplink), without the reason.
#[inline(never)]
fn look_up(policy: &Snapshot, tunnel: &Tunnel) -> Option<PortId> {
    let segment = policy.segment(tunnel.vni)?;
    let owner = segment.nic(tunnel.destination())?;
    segment.trusts(tunnel.provider()).then_some(owner)
}
