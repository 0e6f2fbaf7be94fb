//! A filter of many rules, as a security group of a busy network would have.
//!
//! The rules are random but always the same: prefixes and ports from a fixed seed. None of them
//! matches the benchmark's own traffic, which therefore passes established, or walks them all.

use std::fmt::{self, Write};
use std::net::Ipv4Addr;

const SEED: u64 = 0x0c1e_a2fa_57ac_5eed;
/// The addresses of testbeds, kept out of the rules: for benchmarks, RFC 2544, section C.2.2.
const TESTBEDS: (Ipv4Addr, u32) = (Ipv4Addr::new(198, 18, 0, 0), 15);

/// Where the filter sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// The IP forward hook, to which `br_netfilter` hands bridged packets.
    Inet,
    /// The bridge's own forward hook.
    Bridge,
}

/// A rule over source, destination, protocol and ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// `tcp` or `udp`.
    pub(crate) protocol: &'static str,
    pub(crate) accepts: bool,
    /// A prefix.
    pub(crate) source: String,
    /// A prefix.
    pub(crate) destination: String,
    /// A range; none for any.
    pub(crate) source_ports: Option<&'static str>,
    /// A port or a range.
    pub(crate) destination_ports: String,
}

/// The input for `nft -f`: established first, then `rules - 1` rules, then everything.
pub(crate) fn ruleset(family: Family, count: u32) -> String {
    forward_chain(family, rules(count), "accept")
}

/// The input for `nft -f`: established first, then these rules, then `last` for the rest.
pub(crate) fn forward_chain(
    family: Family,
    rules: impl Iterator<Item = Rule>,
    last: &str,
) -> String {
    let family = match family {
        Family::Inet => "inet",
        Family::Bridge => "bridge",
    };
    let mut text = format!(
        "table {family} clearway_bench {{\n chain forward {{\n  \
         type filter hook forward priority 0; policy drop;\n  \
         ct state established,related accept\n"
    );
    for rule in rules {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {rule}");
    }
    // Nor here.
    let _ = writeln!(text, "  {last}\n }}\n}}");
    text
}

/// The rules of a filter of `count`: all but the last, which lets everything pass.
pub(crate) fn rules(count: u32) -> impl Iterator<Item = Rule> {
    let mut random = Random(SEED);
    (1..count).map(move |_| rule(&mut random))
}

impl fmt::Display for Rule {
    /// As nft has it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (protocol, ports) = (self.protocol, &self.destination_ports);
        write!(
            out,
            "ip saddr {} ip daddr {}",
            self.source, self.destination
        )?;
        if let Some(from) = self.source_ports {
            write!(out, " {protocol} sport {from}")?;
        }
        let verdict = if self.accepts { "accept" } else { "drop" };
        write!(out, " {protocol} dport {ports} {verdict}")
    }
}

fn rule(random: &mut Random) -> Rule {
    let protocol = if random.below(3) == 0 { "udp" } else { "tcp" };
    let accepts = random.below(4) != 0;
    let (source, destination) = (prefix(random), prefix(random));
    let first = 1 + random.below(60_000);
    let destination_ports = match random.below(4) {
        0 => format!("{first}-{}", first + random.below(5_000)),
        _ => first.to_string(),
    };
    let source_ports = (random.below(4) == 0).then_some("1024-65535");
    Rule {
        protocol,
        accepts,
        source,
        destination,
        source_ports,
        destination_ports,
    }
}

/// A random prefix, /12 to /32, that has no address in common with the testbeds.
fn prefix(random: &mut Random) -> String {
    loop {
        let length = 12 + random.below(21);
        let mask = u32::MAX << (32 - length);
        let address = random.bits() & mask;
        let common = mask & (u32::MAX << (32 - TESTBEDS.1));
        if (address ^ TESTBEDS.0.to_bits()) & common != 0 {
            return format!("{}/{length}", Ipv4Addr::from_bits(address));
        }
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): small, and the same everywhere.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let [.., a, b, c, d] = (mixed ^ (mixed >> 31)).to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    /// A number below `limit`, which is small enough that the bias does not matter.
    fn below(&mut self, limit: u32) -> u32 {
        self.bits() % limit
    }
}

#[cfg(test)]
mod tests;
