use super::{Part, parts};

#[test]
fn peers_turn_on_what_is_nothing_without_them() {
    assert_eq!(
        parts(&[], false),
        [Part::OneHost, Part::InProcess, Part::Memory]
    );
    assert_eq!(parts(&[], true).len(), 5);
    assert_eq!(parts(&[Part::TwoHosts], false), [Part::TwoHosts]);
}
