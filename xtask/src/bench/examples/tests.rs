use std::path::PathBuf;

use super::{executable, read};
use crate::bench::interleave::Better;

#[test]
fn figures_are_read_whatever_else_a_line_has() {
    let figures = read(
        r#"{"name": "hit", "unit": "M/s", "value": 20.5, "better": "higher", "n": 1000}

{"name": "allocations", "unit": "count", "value": 0, "better": "lower", "passes": 9}
"#,
    )
    .unwrap();
    let names: Vec<_> = figures
        .iter()
        .map(|one| (one.name.as_str(), one.n))
        .collect();
    assert_eq!(names, [("hit", Some(1000)), ("allocations", None)]);
    assert_eq!((figures[0].value, figures[1].value), (20.5, 0.0));
    assert_eq!(figures[0].better, Better::Higher);
    assert_eq!(figures[1].better, Better::Lower);
}

#[test]
fn anything_else_is_an_error_that_shows_the_line() {
    for bad in [
        "",
        "\n",
        "flows Mpps",
        r#"{"name": "hit", "unit": "M/s", "better": "higher"}"#,
        r#"{"name": "hit", "unit": "M/s", "value": 1, "better": "sideways"}"#,
        r#"{"name": "hit", "unit": "M/s", "value": null, "better": "lower"}"#,
    ] {
        let error = format!("{:#}", read(bad).unwrap_err());
        assert!(error.contains(bad.trim()), "{error}");
    }
}

#[test]
fn the_example_is_where_cargo_says() {
    let messages = r#"
{"reason":"compiler-artifact","target":{"name":"flood","kind":["lib"]},"executable":"/lib"}
{"reason":"compiler-artifact","target":{"name":"flood","kind":["example"]},"executable":"/flood"}
"#;
    assert_eq!(executable(messages, "flood"), Some(PathBuf::from("/flood")));
    assert_eq!(executable(messages, "other"), None);
}
