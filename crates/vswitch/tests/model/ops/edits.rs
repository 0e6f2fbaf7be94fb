//! Changes of policy in the middle of a trace.

use flow::PortId;
use policy::input::{MappingTarget, UplinkInput, VnetId};

use super::{Driver, Who};
use crate::model::strategies::{RoutePlan, SetPlan};
use crate::model::world::{remote, remote_by_sender};

#[derive(Clone, Debug)]
pub(crate) enum Edit {
    /// Other rules; established connections are to be judged by them, or not.
    Rules {
        nic: usize,
        outbound: bool,
        sets: Vec<SetPlan>,
        reevaluate: bool,
    },
    Routes {
        nic: usize,
        routes: Vec<RoutePlan>,
    },
    Forwarding {
        nic: usize,
        on: bool,
    },
    Mtu {
        nic: usize,
        mtu: u16,
    },
    /// An address is elsewhere; either the policy says so, or its mappings alone.
    Move {
        who: Who,
        v6: bool,
        place: Place,
        alone: bool,
    },
    /// The underlay takes longer packets, or shorter ones, or there is none.
    Uplink(Option<u16>),
    /// Something changed that is none of our NICs' business.
    Nothing,
}

/// Where an address is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Nic(usize),
    Host {
        host: u8,
        /// Whether the sender's network gives the VNI.
        by_sender: bool,
    },
    Nowhere,
}

impl Driver {
    pub(super) fn edit(&mut self, edit: &Edit) {
        if let Edit::Move {
            who,
            v6,
            place,
            alone,
        } = edit
        {
            self.move_address(*who, *v6, *place, *alone);
        } else {
            let edit = edit.clone();
            self.bench.edit(|world| match edit {
                Edit::Rules {
                    nic,
                    outbound,
                    sets,
                    reevaluate,
                } => {
                    let port = number(&world.input.nics, nic);
                    let addresses = SetPlan::addresses(world);
                    let sets = SetPlan::build_all(&sets, outbound, &addresses);
                    match outbound {
                        true => world.set_outbound(port, sets),
                        false => world.set_inbound(port, sets),
                    }
                    if reevaluate {
                        world.reevaluate();
                    }
                }
                Edit::Routes { nic, routes } => {
                    let port = number(&world.input.nics, nic);
                    world.clear_user_routes(port);
                    RoutePlan::add_all(&routes, world, port);
                }
                Edit::Forwarding { nic, on } => {
                    let port = number(&world.input.nics, nic);
                    world.nic(port).ip_forwarding = on;
                    world.advance_paths();
                }
                Edit::Mtu { nic, mtu } => {
                    let port = number(&world.input.nics, nic);
                    world.nic(port).mtu = mtu;
                    world.advance_paths();
                }
                Edit::Uplink(mtu) => {
                    world.input.uplink = mtu.map(|mtu| UplinkInput { mtu });
                    world.advance_paths();
                }
                Edit::Move { .. } | Edit::Nothing => {}
            });
        }
        self.naive.publish(&self.bench.world.input);
    }

    fn move_address(&mut self, who: Who, v6: bool, place: Place, alone: bool) {
        let vnet = match who {
            Who::Floating(vnet) | Who::Remote(vnet) | Who::Unmapped(vnet) => vnet,
            Who::Nic(nic) | Who::Other(nic) => {
                u8::try_from(self.nic(nic).vnet.0).expect("few networks")
            }
            Who::Platform | Who::Internet | Who::Nobody => return,
        };
        let Some(address) = self.address(who, v6) else {
            return;
        };
        let target = match place {
            Place::Nic(nic) => Some(MappingTarget::Port(self.port(nic))),
            Place::Host {
                host,
                by_sender: false,
            } => Some(remote(host, vnet)),
            Place::Host { host, .. } => Some(remote_by_sender(host, vnet)),
            Place::Nowhere => None,
        };
        match alone {
            true => self
                .bench
                .move_mapping((VnetId(vnet.into()), address, target)),
            false => self.bench.edit(|world| world.map(vnet, address, target)),
        }
    }
}

fn number(nics: &[policy::input::NicInput], nic: usize) -> u8 {
    let PortId(port) = nics[nic % nics.len()].port;
    u8::try_from(port).expect("few ports")
}
