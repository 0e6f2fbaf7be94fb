//! Topologies: the document a user writes, checked and resolved, and what follows from it.
//!
//! ```text
//! topology.yaml --parse--> Topology --compile--> policy::input::PolicyInput
//!                 |          |  '--effective--> rules and routes as one NIC sees them
//!             Diagnostics    '--difference--> what `apply` would change
//! ```
//!
//! [`parse`] reports every mistake it can find in one go, each with its place. A [`Topology`] has
//! nothing left to guess: addresses, Ethernet addresses and network identifiers are all there.
//! [`effective`] answers in the shapes of the cloud's API; [`compile()`](compile::compile) makes
//! the policy from the same expansion, so that what is shown is what is enforced.
//!
//! Invariants: no I/O, no clock, nothing of packets. Hostile documents get diagnostics: size,
//! depth, aliases and every list have a limit.
#![forbid(unsafe_code)]

mod diagnostics;
mod document;
mod place;
mod prefixes;
mod topology;
mod validate;

pub mod compile;
pub mod diff;
pub mod effective;
pub mod schema;

pub use compile::{Expansions, Generations, NicGenerations, advance, compile};
pub use diagnostics::{Code, Diagnostic, Diagnostics, Severity};
pub use diff::{Change, Difference, difference};
pub use schema::topology_schema;
pub use topology::*;
pub use validate::limits;

/// A topology without errors, and what its author should still look at.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The resolved topology.
    pub topology: Topology,
    /// Warnings only.
    pub warnings: Diagnostics,
}

/// Reads a topology document, YAML 1.2 or JSON. `file_name` is only used to name it in diagnostics.
///
/// # Errors
/// All mistakes found, up to [`limits::DIAGNOSTICS_MAX`] and a count of the rest; warnings among
/// them. After a syntax error nothing else is looked at.
pub fn parse(source: &str, file_name: &str) -> Result<Checked, Diagnostics> {
    let mut sink = diagnostics::Sink::default();
    let topology =
        document::parse(source, &mut sink).map(|document| validate::resolve(&document, &mut sink));
    let found = sink.finish(source, file_name);
    match topology {
        Some(topology) if !found.has_errors() => Ok(Checked {
            topology,
            warnings: found,
        }),
        _ => Err(found),
    }
}

#[cfg(test)]
mod tests;
