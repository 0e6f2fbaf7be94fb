//! The invariant of the accelerated path: verdicts, bytes, counters and drop reasons are the same
//! whether the switch executes a flow or the kernel does.
//!
//! Two switches get the same trace at the same times. One does everything itself; it is the one that
//! the switch's own tests hold against a naive switch, and that goes on here. The other has the eBPF
//! program before it, joined to it by the agent's own coupling: each frame is run through the
//! program (`BPF_PROG_TEST_RUN`), and what that makes an exception goes to the switch. Frames off the
//! uplink and into it are among them, with their outer headers. So the four of naive switch, slow path, software fast path and eBPF program are held against each other, frame
//! by frame.
//!
//! Needs root and a kernel with eBPF. A test that cannot run says so, and is listed in the file that
//! `CLEARWAY_SKIPPED_FILE` names. `PROPTEST_CASES` goes deeper.

mod accelerated;
mod compare;
mod kernel;
mod lab;
mod lifecycle;
mod random;

#[path = "../../src/dataplane/coupling.rs"]
mod coupling;

#[path = "../../src/segments.rs"]
mod segments;

#[path = "../../../vswitch/tests/model"]
#[expect(
    dead_code,
    unused_imports,
    reason = "the switch's own tests use the rest of their model"
)]
mod model {
    pub(crate) mod afar;
    pub(crate) mod bench;
    pub(crate) mod naive_switch;
    pub(crate) mod ops;
    pub(crate) mod rules;
    pub(crate) mod strategies;
    pub(crate) mod world;
}
