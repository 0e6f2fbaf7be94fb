use super::journal::{self, Skip};
use super::machine::effective_capabilities;
use super::report::{Counts, summary};

#[test]
fn the_journal_lists_each_skipped_test_once() {
    let skips = journal::read("b\tno root\na\tno TAP\n\nb\tno root\nbare line\n");
    let expected = [
        ("a", "no TAP"),
        ("b", "no root"),
        ("bare line", "no reason given"),
    ]
    .map(|(test, reason)| Skip {
        test: test.into(),
        reason: reason.into(),
    });
    assert_eq!(skips, expected);
}

#[test]
fn junit_totals_are_read() {
    let report = "<?xml version=\"1.0\"?>\n<testsuites name=\"n\" tests=\"12\" failures=\"2\" \
                  errors=\"1\" time=\"1\">\n<testsuite tests=\"99\">";
    assert_eq!(
        Counts::from_junit(report),
        Some(Counts {
            passed: 9,
            failed: 3
        })
    );
    assert_eq!(Counts::from_junit("<html>"), None);
}

#[test]
fn documentation_results_add_up() {
    let mut counts = Counts::default();
    counts.add_libtest_line("test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured");
    counts.add_libtest_line("test result: FAILED. 1 passed; 2 failed; 0 ignored");
    counts.add_libtest_line("running 7 tests");
    assert_eq!(
        counts,
        Counts {
            passed: 6,
            failed: 2
        }
    );
}

#[test]
fn a_skipped_test_does_not_count_as_passed() {
    let skips = journal::read("kernel_veth\tno root\n");
    let text = summary(
        Some(Counts {
            passed: 3,
            failed: 1,
        }),
        Counts::default(),
        &skips,
    );
    assert!(
        text.starts_with("tests: 2 passed, 1 failed, 1 skipped\n"),
        "{text}"
    );
    assert!(
        text.contains("kernel_veth") && text.contains("no root"),
        "{text}"
    );
    assert!(summary(None, Counts::default(), &[]).starts_with("tests: did not run"));
}

#[test]
fn capabilities_are_read_as_hexadecimal() {
    let status = "Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t0000008000001000\n";
    assert_eq!(effective_capabilities(status), 1 << 39 | 1 << 12);
    assert_eq!(effective_capabilities("CapEff:\tnonsense"), 0);
}
