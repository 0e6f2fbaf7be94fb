use std::net::IpAddr;

use crate::input::{Access, Layer, MappingTarget, VnetId};
use crate::mapping::MappingSlot;
use crate::nic::Judgement;
use crate::route_table::{Overridden, RouteRef};

/// Watches an evaluation step by step.
///
/// Evaluation is generic over its observer: with `()` the calls below and everything that only they
/// need compile to nothing, and `explain` is the very code that decides.
pub trait Observer {
    /// A rule set was asked. After a denial, or after a rule that always allows, the sets that
    /// follow are not asked.
    fn layer(&mut self, view: &LayerView<'_>) {
        let _ = view;
    }

    /// A route was chosen. `overridden` yields the routes that match too, best first, and works
    /// only when iterated.
    fn route(&mut self, destination: IpAddr, chosen: &RouteRef<'_>, overridden: Overridden<'_>) {
        let _ = (destination, chosen, overridden);
    }

    /// No route matches. `table` is the route table's name.
    fn no_route(&mut self, destination: IpAddr, table: &str) {
        let _ = (destination, table);
    }

    /// A mapping was looked up.
    fn mapping(&mut self, view: &MappingView) {
        let _ = view;
    }
}

impl Observer for () {}

/// Which way a packet is judged, in the cloud model's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the guest.
    Outbound,
    /// To the guest.
    Inbound,
}

/// What one rule set said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerView<'a> {
    /// Which way the packet goes.
    pub direction: Direction,
    /// Which layer it is.
    pub layer: Layer,
    /// The rule set's name.
    pub set: &'a str,
    /// The rule that decided; none when exempt, or when no rule matched.
    pub rule: Option<RuleView<'a>>,
    /// Whether the packet passed this layer.
    pub judgement: Judgement,
    /// Whether it passed because one side is an address of the platform, which this set does not
    /// cover.
    pub exempt: bool,
}

/// A rule that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleView<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its priority.
    pub priority: u16,
    /// What it says.
    pub access: Access,
    /// Its place in the rule set, from zero.
    pub index: usize,
}

/// A mapping that was looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappingView {
    /// In which network.
    pub vnet: VnetId,
    /// Which customer address.
    pub address: IpAddr,
    /// Its slot.
    pub slot: MappingSlot,
    /// The slot's version.
    pub version: u32,
    /// Where the address is, if it is known.
    pub target: Option<MappingTarget>,
}
