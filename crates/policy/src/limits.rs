/// How large a policy may be. A larger one is refused whole, with a
/// [`CompileError`](crate::CompileError).
///
/// The defaults are the cloud's published quotas (SEMANTICS part 1, H), scaled up to what one host
/// of a large deployment may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// NICs on the host.
    pub nics_max: usize,
    /// Addresses of one NIC.
    pub addresses_per_nic_max: usize,
    /// Rule sets a packet passes in one direction at one NIC.
    pub sets_per_direction_max: usize,
    /// Rules of one rule set, default rules included. More than 16,384 are refused in any case.
    pub rules_max: usize,
    /// Prefixes on one side (source or destination) of one rule.
    pub prefixes_per_rule_max: usize,
    /// Prefixes of all rules of one rule set together.
    pub prefixes_per_set_max: usize,
    /// Port ranges on one side of one rule.
    pub port_ranges_per_rule_max: usize,
    /// Bytes that one compiled rule set may hold in the intervals of its addresses and ports, and in
    /// the sets of rules that cover them. Only heavily overlapping prefixes, each combination
    /// different, come near it.
    pub set_bytes_max: usize,
    /// Routes of one route table.
    pub routes_max: usize,
    /// Mappings of all virtual networks together.
    pub mappings_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            nics_max: 4_094,
            addresses_per_nic_max: 1_024,
            sets_per_direction_max: 8,
            rules_max: 10_016,
            prefixes_per_rule_max: 32_768,
            prefixes_per_set_max: 4_000_000,
            port_ranges_per_rule_max: 4_096,
            set_bytes_max: 1 << 30,
            routes_max: 100_000,
            mappings_max: 4_000_000,
        }
    }
}
