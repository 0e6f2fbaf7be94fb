use std::fmt;
use std::net::IpAddr;

use flow::PortId;

use crate::input::VnetId;

/// Why a policy does not compile. Nothing of it takes effect then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// There is more of something than the [`Limits`](crate::Limits) allow.
    #[error("{place}: {count} {what}, at most {max} allowed")]
    TooMany {
        /// What there is too much of.
        what: Counted,
        /// Where.
        place: String,
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// The prefixes of a rule set overlap in so many ways that its compiled form is too large.
    #[error("{place}: overlapping prefixes need more than {bytes_max} bytes")]
    TooEntangled {
        /// The rule set.
        place: String,
        /// The bytes it may hold.
        bytes_max: usize,
    },
    /// A NIC is behind a port that cannot be.
    #[error("NIC `{nic}`: {port} does not exist")]
    InvalidPort {
        /// The NIC.
        nic: String,
        /// Its port.
        port: PortId,
    },
    /// Two NICs are behind one port.
    #[error("{port}: both NIC `{first}` and NIC `{second}`")]
    DuplicatePort {
        /// The port.
        port: PortId,
        /// The NIC that came first.
        first: String,
        /// The other one.
        second: String,
    },
    /// A rule comes after one of larger priority.
    #[error("rule `{rule}` of `{set}`: priority {priority} after {previous}")]
    RuleOrder {
        /// The rule set.
        set: String,
        /// The rule.
        rule: String,
        /// Its priority.
        priority: u16,
        /// The priority before it.
        previous: u16,
    },
    /// A group has a rule that only security admin rule sets may have.
    #[error("rule `{rule}` of group `{set}`: only security admin rules can always allow")]
    AlwaysAllowInGroup {
        /// The group.
        set: String,
        /// The rule.
        rule: String,
    },
    /// One address of a network is said to be in two places.
    #[error("mapping of {address} in network {}: two targets", vnet.0)]
    ConflictingMapping {
        /// The network.
        vnet: VnetId,
        /// The address.
        address: IpAddr,
    },
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Counted {
    /// NICs on the host.
    Nics,
    /// Addresses of a NIC.
    Addresses,
    /// Rule sets in one direction of a NIC.
    RuleSets,
    /// Rules of a rule set.
    Rules,
    /// Prefixes on one side of a rule, or of all rules of a set.
    Prefixes,
    /// Port ranges on one side of a rule.
    PortRanges,
    /// Routes of a table.
    Routes,
    /// Mappings of all networks.
    Mappings,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Counted::Nics => "NICs",
            Counted::Addresses => "addresses",
            Counted::RuleSets => "rule sets",
            Counted::Rules => "rules",
            Counted::Prefixes => "prefixes",
            Counted::PortRanges => "port ranges",
            Counted::Routes => "routes",
            Counted::Mappings => "mappings",
        })
    }
}

impl Counted {
    /// Whether `count` of this is within `max`; `place` is asked for only if not.
    pub(crate) fn within(
        self,
        count: usize,
        max: usize,
        place: impl FnOnce() -> String,
    ) -> Result<(), CompileError> {
        if count <= max {
            return Ok(());
        }
        Err(CompileError::TooMany {
            what: self,
            place: place(),
            count,
            max,
        })
    }
}
