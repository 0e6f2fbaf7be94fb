use std::ops::RangeInclusive;

use ipnet::IpNet;

use crate::classifier::protocols::ProtocolMask;
use crate::input::{AddressSet, RuleInput};
use crate::intervals::{Coverage, range_v4, range_v6};

/// What a rule covers, field by field.
pub(super) struct RuleCoverage {
    pub(super) protocols: ProtocolMask,
    pub(super) source: AddressCoverage,
    pub(super) destination: AddressCoverage,
    pub(super) source_ports: Coverage<u16>,
    pub(super) destination_ports: Coverage<u16>,
}

/// What one side of a rule covers, by family.
pub(super) struct AddressCoverage {
    pub(super) v4: Coverage<u32>,
    pub(super) v6: Coverage<u128>,
}

impl AddressCoverage {
    fn new(set: &AddressSet) -> AddressCoverage {
        let prefixes = match set {
            AddressSet::Any => {
                return AddressCoverage {
                    v4: Coverage::Whole,
                    v6: Coverage::Whole,
                };
            }
            AddressSet::Prefixes(prefixes) => prefixes,
        };
        let v4 = prefixes.iter().filter_map(|prefix| match prefix {
            IpNet::V4(v4) => Some(range_v4(v4)),
            IpNet::V6(_) => None,
        });
        let v6 = prefixes.iter().filter_map(|prefix| match prefix {
            IpNet::V4(_) => None,
            IpNet::V6(v6) => Some(range_v6(v6)),
        });
        AddressCoverage {
            v4: Coverage::of(v4),
            v6: Coverage::of(v6),
        }
    }
}

impl RuleCoverage {
    /// What `rule` covers.
    pub(super) fn new(rule: &RuleInput) -> RuleCoverage {
        RuleCoverage {
            protocols: ProtocolMask::new(&rule.protocols),
            source: AddressCoverage::new(&rule.source),
            destination: AddressCoverage::new(&rule.destination),
            source_ports: ports(&rule.source_ports),
            destination_ports: ports(&rule.destination_ports),
        }
    }

    /// Whether it takes any protocol and ports.
    pub(super) fn takes_all(&self) -> bool {
        let ports = self.source_ports.is_whole() && self.destination_ports.is_whole();
        ports && self.protocols == ProtocolMask::new(&[])
    }

    /// Which fields the rule leaves open, a bit each.
    pub(super) fn pattern(&self) -> u8 {
        let open = [
            self.source.v4.is_whole(),
            self.source.v6.is_whole(),
            self.destination.v4.is_whole(),
            self.destination.v6.is_whole(),
            self.source_ports.is_whole(),
            self.destination_ports.is_whole(),
        ];
        open.iter()
            .fold(0, |pattern, &open| pattern << 1 | u8::from(open))
    }
}

fn ports(ranges: &[RangeInclusive<u16>]) -> Coverage<u16> {
    if ranges.is_empty() {
        return Coverage::Whole;
    }
    Coverage::of(ranges.iter().map(|range| (*range.start(), *range.end())))
}
