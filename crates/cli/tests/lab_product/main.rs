//! The product from outside: the real `clearway` and a real agent on the running kernel, guests in
//! network namespaces and behind TAPs, and nothing prepared.
//!
//! Needs root and a kernel with eBPF. A test that cannot run says so, and is listed in the file
//! that `CLEARWAY_SKIPPED_FILE` names. Each test has an instance of its own and leaves nothing.

mod lab;
mod lab_acceleration;
mod lab_configuration;
mod lab_examples;
mod lab_hosts;
mod lab_limits;
mod lab_many;
mod lab_observe;
mod lab_policy;
mod lab_restart;
mod lab_soak;
