//! What the switch promises, seen from outside.

mod model;

mod against_naive;
mod drop_reasons;
mod engine_work;
mod explain;
mod fuzz;
mod golden;
mod look_ahead;
mod no_allocation;
mod scenarios;
