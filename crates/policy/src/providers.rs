//! On which hosts each virtual network has NICs.

use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::input::{MappingTarget, VnetId};

/// The provider addresses that remote mappings name, with how many do: an address is trusted for
/// as long as one mapping is left. A changed copy shares nothing, but most changes of a mapping
/// change no address's presence, and there are as many as hosts, not as mappings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Providers {
    uses: Arc<HashMap<(VnetId, IpAddr), u32, RandomState>>,
}

impl Providers {
    /// Whether a NIC of the network is on that host.
    #[inline]
    pub(crate) fn has(&self, vnet: VnetId, provider: IpAddr) -> bool {
        self.uses.contains_key(&(vnet, provider))
    }

    /// The hosts of a network, in no order.
    pub(crate) fn of(&self, vnet: VnetId) -> impl Iterator<Item = IpAddr> + '_ {
        let uses = self.uses.keys().filter(move |(of, _)| *of == vnet);
        uses.map(|(_, provider)| *provider)
    }

    /// A mapping of the network has another target than before.
    pub(crate) fn follow(
        &mut self,
        vnet: VnetId,
        before: Option<MappingTarget>,
        now: Option<MappingTarget>,
    ) {
        let (before, now) = (provider(before), provider(now));
        if before == now {
            return;
        }
        let uses = Arc::make_mut(&mut self.uses);
        if let Some(provider) = now {
            *uses.entry((vnet, provider)).or_insert(0) += 1;
        }
        if let Some(provider) = before
            && let Some(left) = uses.get_mut(&(vnet, provider))
        {
            *left -= 1;
            if *left == 0 {
                uses.remove(&(vnet, provider));
            }
        }
    }

    /// Bytes on the heap.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.uses.allocation_size()
    }
}

fn provider(target: Option<MappingTarget>) -> Option<IpAddr> {
    match target? {
        MappingTarget::Remote { encap, .. } => Some(encap.outer_dst),
        MappingTarget::Port(_) => None,
    }
}
