//! Random changes of the world.

use super::random::Random;
use super::rules::{ANCHORS_GROUP, Direction, Party, Protocol, Rule};
use super::world::{ANCHORS_PLACE, Guest, PASSERS, PLACES, PORTS, World};

/// Priorities that changing rules have: behind those that never change.
const PRIORITIES: [u16; 8] = [200, 300, 400, 500, 1000, 2000, 3000, 4096];

/// Makes one change.
pub(super) fn change(world: &mut World, random: &mut Random) {
    while !attempt(world, random) {}
}

/// False if that would have changed nothing.
fn attempt(world: &mut World, random: &mut Random) -> bool {
    match random.below(100) {
        0..30 => put_rule(world, random),
        30..48 => take_rule(world, random),
        48..56 => guard_subnet(world, random),
        56..62 => guard_guest(world, random),
        62..74 => route(world, random),
        74..77 => {
            world.peered = !world.peered;
            true
        }
        77..81 => join(world, random),
        81..84 => accelerate(world, random),
        84..91 => come(world, random),
        91..97 => go(world, random),
        _ => wander(world, random),
    }
}

fn put_rule(world: &mut World, random: &mut Random) -> bool {
    let group = random.below(world.groups.len());
    let protocol = *random.pick(&[Protocol::Any, Protocol::Tcp, Protocol::Udp, Protocol::Icmp]);
    let ports = match protocol {
        Protocol::Tcp | Protocol::Udp if random.percent(60) => {
            let (one, other) = (*random.pick(&PORTS), *random.pick(&PORTS));
            Some((one.min(other), one.max(other)))
        }
        _ => None,
    };
    let party = match random.below(4) {
        0 => Party::Anyone,
        // The members are of one network, and so are those who may name them.
        1 if !is_far(group) => Party::Members,
        _ => Party::Subnet(random.below(PLACES.len())),
    };
    let rule = Rule {
        allow: random.percent(50),
        protocol,
        party,
        ports,
    };
    let direction = direction(random);
    world.groups[group].insert(direction, *random.pick(&PRIORITIES), rule);
    true
}

fn take_rule(world: &mut World, random: &mut Random) -> bool {
    let group = random.below(world.groups.len());
    let direction = direction(random);
    world.groups[group].remove(direction, *random.pick(&PRIORITIES))
}

fn guard_subnet(world: &mut World, random: &mut Random) -> bool {
    // The anchors' keeps its group.
    let place = 1 + random.below(PLACES.len() - 1);
    let group = group_for(place, random);
    std::mem::replace(&mut world.subnets[place].group, group) != group
}

fn guard_guest(world: &mut World, random: &mut Random) -> bool {
    let Some(guest) = passer(world, random) else {
        return false;
    };
    let group = group_for(guest.place, random);
    std::mem::replace(&mut guest.group, group) != group
}

fn route(world: &mut World, random: &mut Random) -> bool {
    let (from, to) = (random.below(PLACES.len()), random.below(PLACES.len()));
    if (from, to) == (ANCHORS_PLACE, ANCHORS_PLACE) {
        return false;
    }
    let blocked = &mut world.subnets[from].blocked[to];
    // More ways are open than not.
    if !*blocked && random.percent(50) {
        return false;
    }
    *blocked = !*blocked;
    true
}

fn join(world: &mut World, random: &mut Random) -> bool {
    let Some(guest) = passer(world, random) else {
        return false;
    };
    if PLACES[guest.place].vnet != "main" {
        return false;
    }
    guest.member = !guest.member;
    true
}

fn accelerate(world: &mut World, random: &mut Random) -> bool {
    let Some(guest) = passer(world, random) else {
        return false;
    };
    guest.accelerated = !guest.accelerated;
    true
}

fn come(world: &mut World, random: &mut Random) -> bool {
    let (index, name) = {
        let index = random.below(PASSERS.len());
        (index, PASSERS[index])
    };
    if world.guests.contains_key(name) {
        return false;
    }
    let host = 4 + u8::try_from(index).expect("few guests");
    let mut guest = Guest::new(1 + random.below(PLACES.len() - 1), host);
    guest.tap = random.percent(15);
    guest.accelerated = random.percent(85);
    guest.group = group_for(guest.place, random);
    world.guests.insert(name, guest);
    true
}

fn go(world: &mut World, random: &mut Random) -> bool {
    world.guests.remove(random.pick(&PASSERS)).is_some()
}

/// Another subnet, and so another address.
fn wander(world: &mut World, random: &mut Random) -> bool {
    let Some(guest) = passer(world, random) else {
        return false;
    };
    let place = 1 + random.below(PLACES.len() - 1);
    let same = place == guest.place;
    guest.place = place;
    guest.group = group_for(place, random);
    guest.member &= PLACES[place].vnet == "main";
    !same
}

fn passer<'w>(world: &'w mut World, random: &mut Random) -> Option<&'w mut Guest> {
    world.guests.get_mut(random.pick(&PASSERS))
}

fn direction(random: &mut Random) -> Direction {
    *random.pick(&[Direction::Inbound, Direction::Outbound])
}

/// A group of the network, or none.
fn group_for(place: usize, random: &mut Random) -> Option<usize> {
    let groups: &[usize] = if PLACES[place].vnet == "main" {
        &[1, 2]
    } else {
        &[3]
    };
    let group = *random.pick(groups);
    debug_assert_ne!(group, ANCHORS_GROUP);
    random.percent(70).then_some(group)
}

/// Whether a group is for the other network.
fn is_far(group: usize) -> bool {
    group == 3
}
