//! Documents that want to do harm: an answer, in time, and no panic.

use std::fmt::Write as _;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::{bad, example, examples};
use crate::diagnostics::Code;
use crate::{limits, parse};

static EXAMPLES: LazyLock<Vec<String>> =
    LazyLock::new(|| examples().iter().map(|name| example(name)).collect());

#[derive(Clone, Debug)]
enum Edit {
    Replace(prop::sample::Index, u8),
    Remove(prop::sample::Index, usize),
    Insert(prop::sample::Index, &'static str),
    /// A line, somewhere else once more.
    Repeat(prop::sample::Index, prop::sample::Index),
}

const WORDS: &[&str] = &[
    "{",
    "[",
    "]",
    "}",
    ": ",
    "- ",
    "&a ",
    "*a",
    "\"",
    "'",
    "|\n",
    "\t",
    "\u{0}",
    "#",
    "\n",
    "? ",
    "!!binary ",
    "%YAML 9\n",
    "---\n",
    "...\n",
    "\u{feff}",
    "::/0",
    "4294967296",
    "0.0.0.0/0",
    "10.0.0.0/8",
    "~",
    "é",
];

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Replace(at, byte)),
        (any::<prop::sample::Index>(), 1..40usize).prop_map(|(at, len)| Edit::Remove(at, len)),
        (any::<prop::sample::Index>(), prop::sample::select(WORDS))
            .prop_map(|(at, word)| Edit::Insert(at, word)),
        (any::<prop::sample::Index>(), any::<prop::sample::Index>())
            .prop_map(|(from, to)| Edit::Repeat(from, to)),
    ]
}

fn apply(text: &mut Vec<u8>, edit: &Edit) {
    if text.is_empty() {
        return;
    }
    match edit {
        Edit::Replace(at, byte) => {
            let at = at.index(text.len());
            text[at] = *byte;
        }
        Edit::Remove(at, len) => {
            let at = at.index(text.len());
            let end = (at + len).min(text.len());
            text.drain(at..end);
        }
        Edit::Insert(at, word) => {
            let at = at.index(text.len());
            text.splice(at..at, word.bytes());
        }
        Edit::Repeat(from, to) => {
            let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
            let line = lines[from.index(lines.len())].to_vec();
            let before: usize = lines[..to.index(lines.len())]
                .iter()
                .map(|line| line.len())
                .sum();
            text.splice(before..before, line);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn edited_examples_are_answered(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec(edit(), 1..6),
    ) {
        let mut text = EXAMPLES[which.index(EXAMPLES.len())].clone().into_bytes();
        edits.iter().for_each(|edit| apply(&mut text, edit));
        let text = String::from_utf8_lossy(&text);
        match parse(&text, "edited.yaml") {
            Ok(checked) => prop_assert!(!checked.warnings.has_errors()),
            Err(found) => {
                prop_assert!(found.has_errors());
                // A place that an editor can go to, and a text that a terminal survives.
                for found in &found.diagnostics {
                    prop_assert!(found.line >= 1 && found.column >= 1, "{found:?}");
                }
                let shown = found.render(false);
                prop_assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
            }
        }
    }

    #[test]
    fn noise_is_answered(text in "\\PC{0,200}") {
        let _ = parse(&text, "noise.yaml");
    }
}

fn code_of(source: &str) -> Code {
    let found = bad(source);
    assert_eq!(found.diagnostics.len(), 1, "{found}");
    found.diagnostics[0].code
}

#[test]
fn aliases_cannot_multiply_without_end() {
    let mut source = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let before = format!("*a{}", level - 1);
        let _ = writeln!(
            source,
            "a{level}: &a{level} [{}]",
            vec![before; 10].join(", ")
        );
    }
    assert_eq!(code_of(&source), Code::TooLarge);
}

#[test]
fn an_alias_of_what_contains_it_is_refused() {
    assert_eq!(code_of("vnets: &all { a: *all }\n"), Code::Syntax);
}

#[test]
fn nesting_has_an_end_in_either_style() {
    assert_eq!(
        code_of(&format!("vnets: {}", "[".repeat(40))),
        Code::TooLarge
    );
    // Here a limit of the parser's own comes first.
    assert_eq!(
        code_of(&format!("vnets: {}", "[".repeat(100_000))),
        Code::Syntax
    );
    let block: String = (0..100).fold(String::new(), |mut text, level| {
        let _ = writeln!(text, "{}a:", " ".repeat(level));
        text
    });
    assert_eq!(code_of(&block), Code::TooLarge);
}

#[test]
fn aliases_do_not_get_around_the_depth() {
    let mut source = String::from("a0: &a0 [x]\n");
    for level in 1..60 {
        let _ = writeln!(source, "a{level}: &a{level} [*a{}]", level - 1);
    }
    assert_eq!(code_of(&source), Code::TooLarge);
}

#[test]
fn a_document_has_a_size() {
    assert_eq!(
        code_of(&" ".repeat(limits::SOURCE_BYTES_MAX + 1)),
        Code::TooLarge
    );
}

#[test]
fn many_errors_are_counted_and_few_kept() {
    let mut source = String::from("guests:\n");
    for guest in 0..1_000 {
        let _ = writeln!(source, "  g{guest}: {{ subnt: a/b }}");
    }
    let found = bad(&source);
    assert_eq!(found.diagnostics.len(), limits::DIAGNOSTICS_MAX);
    // Each has an unknown key, and a missing one.
    assert_eq!(found.omitted_errors, 2_000 - limits::DIAGNOSTICS_MAX);
    assert!(
        found
            .to_string()
            .ends_with("2000 errors (1900 not shown)\n"),
        "{found}"
    );
}

#[test]
fn large_topologies_are_read_in_time() {
    let mut source = String::from(
        "vnets: { a: { addressSpace: 10.0.0.0/8, subnets: { s: { prefix: 10.0.0.0/16 } } } }\nguests:\n",
    );
    for guest in 0..limits::NICS_MAX {
        let _ = writeln!(source, "  g{guest}: {{ subnet: a/s }}");
    }
    let topology = super::good(&source);
    assert_eq!(topology.nics().count(), limits::NICS_MAX);
    let macs: std::collections::HashSet<_> = topology.nics().map(|(_, _, nic)| nic.mac).collect();
    assert_eq!(macs.len(), limits::NICS_MAX);
    source.push_str("  one-more: { subnet: a/s }\n");
    assert_eq!(code_of(&source), Code::Limit);
}
