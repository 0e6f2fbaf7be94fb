//! The engine in the running kernel: its program frame by frame, its maps, real guests in network
//! namespaces, and the change from one agent to the next.
//!
//! Needs root and a kernel with eBPF. A test that cannot run says so, and is listed in the file
//! that `CLEARWAY_SKIPPED_FILE` names.

mod lab;
mod lab_flows;
mod lab_program;
mod lab_takeover;
mod lab_traffic;
mod lab_tunnel;
mod lab_uplink;
