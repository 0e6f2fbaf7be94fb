//! The real binary against an agent that gives prepared answers.

mod agent;
mod apply;
mod capture;
mod drops;
mod errors;
mod explain;
mod help;
mod kernel;
mod lifecycle;
mod nic;
mod offline;
mod run;
mod samples;

/// Compares with a committed snapshot, `tests/snapshots/NAME.snap`.
#[track_caller]
fn assert_snapshot(name: &str, text: &str) {
    insta::with_settings!({
        snapshot_path => "../snapshots",
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, { insta::assert_snapshot!(name, text) });
}
