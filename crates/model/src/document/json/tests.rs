use proptest::prelude::*;

use super::super::load;
use super::super::node::{Node, Value};
use super::read;
use crate::place::Span;

/// Whether the reader here takes a document; if so, the other one makes the same of it.
fn same(source: &str) -> Result<bool, TestCaseError> {
    let Some(here) = read(source) else {
        return Ok(false);
    };
    let yaml = load::read(source);
    let mut yaml = yaml.map_err(|failure| TestCaseError::fail(format!("{failure:?}: {source}")))?;
    narrow(&mut yaml, &here);
    prop_assert_eq!(here, yaml, "{}", source);
    Ok(true)
}

/// To the YAML reader, a value ends with the blanks that follow it, be it on the next line.
fn narrow(yaml: &mut Node<'_>, here: &Node<'_>) {
    let span = |yaml: &mut Span, here: Span| {
        if yaml.width == 0 || yaml.width > here.width {
            yaml.width = here.width;
        }
    };
    span(&mut yaml.span, here.span);
    match (&mut yaml.value, &here.value) {
        (Value::List(yaml), Value::List(here)) => {
            yaml.iter_mut()
                .zip(here)
                .for_each(|(yaml, here)| narrow(yaml, here));
        }
        (Value::Map(yaml), Value::Map(here)) => {
            for ((yaml_key, yaml), (here_key, here)) in yaml.iter_mut().zip(here) {
                span(&mut yaml_key.span, here_key.span);
                narrow(yaml, here);
            }
        }
        _ => {}
    }
}

fn is_read(source: &str) {
    assert!(
        same(source).unwrap_or_else(|error| panic!("{error}")),
        "{source}"
    );
}

#[test]
fn what_programs_send_is_read_here() {
    is_read(r#"{"a":1,"b":[true,null,"x"],"c":{},"d":[],"e":[{"f":"10.0.0.0/8"},{"f":"*"}]}"#);
    is_read("{\n  \"a\": 1,\n  \"b\": [\n    true,\n    \"x y\"\n  ],\n  \"c\": {}\n}\n");
    is_read(r#"{"quotes \" and \\ and \/":"a\nb\t"}"#);
    is_read(r##"{"a":"# no comment: none","b":"--- ","c":"{}[],&*!|>%@`","d":""}"##);
}

#[test]
fn what_is_odd_is_left_to_the_yaml_reader() {
    for source in [
        "",
        "a: 1",
        "[1]",
        "{\"a\" :1}",
        "{\"a\":1,}",
        "{\"a\":1.5}",
        "{\"a\":-1}",
        "{\"a\":1e3}",
        "{\"a\":True}",
        "{\"a\":'b'}",
        "{a:1}",
        "{\"a\":\"\\u0041\"}",
        "{\"a\":\"ä\"}",
        "{\"a\":\t1}",
        "{\"a\":1}\r\n",
        "{\"a\":1} x",
        "{\"a\":1}{}",
        "{\"a\":1",
        "{\"a\":\"b",
        "{\"a\":\"b\nc\"}",
        "{\"a\":1 # one\n}",
        "{\"a\":[1 2]}",
        "{\"a\"}",
        "{:1}",
    ] {
        assert_eq!(read(source), None, "{source}");
    }
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(40), "]".repeat(40));
    assert_eq!(read(&deep), None);
    let long = format!("{{\"{}\":1}}", "k".repeat(2_000));
    assert_eq!(read(&long), None);
}

/// A document, with blanks of its author's wherever they may be.
fn document() -> impl Strategy<Value = String> {
    let blank = || prop_oneof![6 => Just(""), 1 => Just(" "), 1 => Just("\n"), 1 => Just("\n   ")];
    let text = || {
        prop_oneof![3 => "[a-z0-9./:*-]{0,12}", 1 => r#"[ -!#-\[\]-~]{0,20}"#]
            .prop_map(|text| format!("\"{text}\""))
    };
    let escaped = prop::sample::select(vec![r#""\"""#, r#""a\\b""#, r#""\/x\n""#, r#""\ty z""#]);
    let leaf = prop_oneof![
        4 => text(),
        1 => escaped.prop_map(str::to_owned),
        2 => (0..100_000_u32).prop_map(|number| number.to_string()),
        1 => prop::sample::select(vec!["true", "false", "null", "007"]).prop_map(str::to_owned),
    ];
    let value = leaf.prop_recursive(4, 40, 6, move |inner| {
        let item =
            (blank(), inner.clone(), blank()).prop_map(|(a, item, b)| format!("{a}{item}{b}"));
        let entry = (blank(), text(), blank(), inner, blank())
            .prop_map(|(a, key, b, value, c)| format!("{a}{key}:{b}{value}{c}"));
        prop_oneof![
            prop::collection::vec(item, 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(entry, 0..6).prop_map(|items| format!("{{{}}}", items.join(","))),
        ]
    });
    (value, blank()).prop_map(|(value, end)| format!("{{\"a\":{value}}}{end}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn both_readers_see_the_same_tree(source in document()) {
        prop_assert!(same(&source)?, "{} is JSON and not read here", source);
    }

    /// And of what is no JSON any more, nothing is said that the other reader does not say.
    #[test]
    fn a_mistake_makes_no_difference(
        source in document(),
        at in any::<prop::sample::Index>(),
        byte in prop::sample::select(b" \n{}[],:\"\\a1#'-&*\t".to_vec()),
        insert in any::<bool>(),
    ) {
        let mut text = source.into_bytes();
        let at = at.index(text.len());
        if insert {
            text.insert(at, byte);
        } else {
            text[at] = byte;
        }
        let text = String::from_utf8(text).expect("still ASCII");
        same(&text)?;
    }
}
