//! Stories of guests, each in a small world.

mod appliances;
mod configuration;
mod fragments;
mod icmp;
mod lifecycle;
mod limits;
mod neighbours;
mod policy_changes;
mod tcp;
mod too_long_too_old;
mod uplink;
