//! What comes off the wire and goes no further, or is none of ours.

use bpf::Outcome;
use flow::{DropReason, FlowKey, PortId};
use wire::checksum::Sum;
use wire::compose::{self, Packet};
use wire::vxlan::VxlanEncap;
use wire::{MacAddr, Vni};

use super::uplink::{UplinkBench, ends_back, key};
use crate::lab::UDP;
use crate::lab::far::{providers, vni, wrapped};

/// What comes from the other host in these outer headers, to this inner address.
fn frame(tunnel: &VxlanEncap, destination: MacAddr) -> Vec<u8> {
    let (from, mut to) = ends_back(false);
    to.mac = destination;
    wrapped(tunnel, &compose::udp(&from, &to, b"payload"))
}

const NIC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

#[test]
fn what_belongs_to_no_segment_is_dropped_and_counted_by_reason() {
    let name = "what_belongs_to_no_segment_is_dropped_and_counted_by_reason";
    for is_ipv6 in [false, true] {
        let Some(mut bench) = UplinkBench::new(name, is_ipv6) else {
            return;
        };
        bench.install(key(UDP, false));
        let good = bench.far.tunnel();
        assert_eq!(bench.outcome(&frame(&good, NIC)), Some(Outcome::Delivered));
        let unknown_vni = VxlanEncap {
            vni: Vni::new(8).unwrap(),
            ..good
        };
        let stranger = VxlanEncap {
            outer_src: providers(is_ipv6)[0],
            ..good
        };
        let unicast = MacAddr([2, 0, 0, 0, 0, 9]);
        let refused = [
            (frame(&unknown_vni, NIC), DropReason::UnknownVni),
            (frame(&stranger, NIC), DropReason::UnknownProvider),
            // The first thing that is wrong is the reason.
            (frame(&stranger, unicast), DropReason::UnknownProvider),
            (frame(&good, unicast), DropReason::UnknownDestinationMac),
            (
                frame(&good, MacAddr([0; 6])),
                DropReason::UnknownDestinationMac,
            ),
            (frame(&good, MacAddr::BROADCAST), DropReason::Broadcast),
            (
                frame(&good, MacAddr([1, 0, 0x5e, 0, 0, 1])),
                DropReason::Multicast,
            ),
        ];
        let mut expected = flow::DropCounters::default();
        for (frame, reason) in &refused {
            assert_eq!(bench.outcome(frame), Some(Outcome::Dropped), "{reason}");
            expected.add(*reason, 1, frame.len() as u64);
            assert_eq!(bench.bench.engine.uplink_drops().unwrap(), expected);
        }
        // While somebody watches, the agent is shown them and does the counting.
        let engine = &mut bench.bench.engine;
        engine.set_drops_to_agent(PortId::UPLINK, true).unwrap();
        for (frame, reason) in &refused {
            assert_eq!(bench.outcome(frame), Some(Outcome::Exception), "{reason}");
        }
        assert_eq!(bench.bench.engine.uplink_drops().unwrap(), expected);
        let engine = &mut bench.bench.engine;
        engine.set_drops_to_agent(PortId::UPLINK, false).unwrap();
        assert_eq!(bench.outcome(&refused[0].0), Some(Outcome::Dropped));
        let stats = bench.bench.engine.port_stats(PortId::UPLINK).unwrap();
        assert_eq!((stats.exceptions, stats.from_guest_packets), (7, 9));
    }
}

#[test]
fn segments_are_what_was_said_last() {
    let Some(mut bench) = UplinkBench::new("segments_are_what_was_said_last", false) else {
        return;
    };
    bench.install(key(UDP, false));
    let arriving = frame(&bench.far.tunnel(), NIC);
    let provider = providers(false)[1];
    let other = Vni::new(9).unwrap();
    let (nic, trusted) = ((vni(), NIC, PortId(1)), (vni(), provider));
    let mut last = |nics: &[_], providers: &[_], vnis: &[_]| {
        let engine = &mut bench.bench.engine;
        engine.set_segments(nics, providers, vnis).unwrap();
        let before = engine.uplink_drops().unwrap();
        let outcome = engine.test_run_uplink(&arriving).unwrap().outcome;
        let after = engine.uplink_drops().unwrap();
        let mut reasons = after.iter();
        let reason = reasons.find(|&(reason, packets, _)| packets > before.packets(reason));
        (outcome, reason.map(|(reason, ..)| reason))
    };
    let dropped = |reason| (Some(Outcome::Dropped), Some(reason));
    let delivered = (Some(Outcome::Delivered), None);
    assert_eq!(last(&[nic], &[trusted], &[]), delivered);
    assert_eq!(
        last(&[], &[trusted], &[vni()]),
        dropped(DropReason::UnknownDestinationMac)
    );
    assert_eq!(
        last(&[], &[], &[vni()]),
        dropped(DropReason::UnknownProvider)
    );
    assert_eq!(last(&[], &[], &[]), dropped(DropReason::UnknownVni));
    let elsewhere = (other, NIC, PortId(1));
    assert_eq!(
        last(&[elsewhere], &[trusted], &[other]),
        dropped(DropReason::UnknownVni)
    );
    assert_eq!(
        last(&[nic, elsewhere], &[trusted], &[vni(), other]),
        delivered
    );
    // The same address behind another port: its flows are others.
    let moved = (vni(), NIC, PortId(2));
    assert_eq!(
        last(&[moved], &[trusted], &[vni()]),
        (Some(Outcome::Exception), None)
    );
}

#[test]
fn too_many_segments_change_nothing() {
    let Some(mut bench) = UplinkBench::new("too_many_segments_change_nothing", false) else {
        return;
    };
    bench.install(key(UDP, false));
    let nic = |number: u32| {
        let [_, a, b, c] = number.to_be_bytes();
        (vni(), MacAddr([2, 9, 9, a, b, c]), PortId(2))
    };
    let nics: Vec<_> = (0..65_537).map(nic).collect();
    let provider = |number: u32| (vni(), std::net::Ipv4Addr::from(number).into());
    let providers: Vec<_> = (0..65_537).map(provider).collect();
    let vnis: Vec<_> = (0..65_537).filter_map(Vni::new).collect();
    let engine = &mut bench.bench.engine;
    for refused in [
        engine.set_segments(&nics, &[], &[]),
        engine.set_segments(&[], &providers, &[]),
        engine.set_segments(&[], &[], &vnis),
    ] {
        let source = refused.unwrap_err().source;
        assert_eq!(source.raw_os_error(), Some(libc::E2BIG));
    }
    let arriving = frame(&bench.far.tunnel(), NIC);
    assert_eq!(bench.outcome(&arriving), Some(Outcome::Delivered));
    let engine = &mut bench.bench.engine;
    let (nics, vnis) = (&nics[..65_536], &vnis[..65_536]);
    engine
        .set_segments(nics, &providers[..65_536], vnis)
        .unwrap();
    assert_eq!(bench.outcome(&arriving), Some(Outcome::Dropped));
}

/// Each is our VXLAN, but for one thing; the host's stack gets it as it is.
#[test]
fn what_is_not_our_vxlan_is_left_to_the_host() {
    let name = "what_is_not_our_vxlan_is_left_to_the_host";
    for is_ipv6 in [false, true] {
        let Some(mut bench) = UplinkBench::new(name, is_ipv6) else {
            return;
        };
        bench.install(key(UDP, false));
        let good = bench.far.tunnel();
        let plain = frame(&good, NIC);
        let mut foreign = vec![
            frame(
                &VxlanEncap {
                    dst_port: 4790,
                    ..good
                },
                NIC,
            ),
            frame(
                &VxlanEncap {
                    outer_dst: providers(is_ipv6)[1],
                    ..good
                },
                NIC,
            ),
            frame(
                &VxlanEncap {
                    outer_dst_mac: MacAddr([2, 9, 9, 9, 9, 9]),
                    ..good
                },
                NIC,
            ),
            frame(
                &VxlanEncap {
                    outer_dst_mac: MacAddr::BROADCAST,
                    ..good
                },
                NIC,
            ),
        ];
        let edited = |at: usize, byte: u8| {
            let mut frame = plain.clone();
            frame[at] = byte;
            frame
        };
        // TCP; ARP; and an extension header or a later fragment, behind which no port is found.
        foreign.push(edited(if is_ipv6 { 20 } else { 23 }, 6));
        foreign.push(edited(13, 6));
        foreign.push(if is_ipv6 {
            edited(20, 44)
        } else {
            edited(21, 1)
        });
        for frame in &foreign {
            assert_eq!(bench.outcome(frame), Some(Outcome::NotOurs), "{frame:02x?}");
        }
        let stats = bench.bench.engine.port_stats(PortId::UPLINK).unwrap();
        assert_eq!(stats, bpf::PortStats::default());
    }
}

#[test]
fn odd_outer_headers_are_the_agents() {
    for is_ipv6 in [false, true] {
        let Some(mut bench) = UplinkBench::new("odd_outer_headers_are_the_agents", is_ipv6) else {
            return;
        };
        bench.install(key(UDP, false));
        let plain = frame(&bench.far.tunnel(), NIC);
        let (l4, length_at) = if is_ipv6 { (54, 18) } else { (34, 16) };
        let edit = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut frame = plain.clone();
            change(&mut frame);
            if !is_ipv6 {
                frame[24..26].fill(0);
                let sum = Sum::of(&frame[14..34]).finish();
                frame[24..26].copy_from_slice(&sum.to_be_bytes());
            }
            frame
        };
        assert_eq!(bench.outcome(&edit(&|_| {})), Some(Outcome::Delivered));
        // Reserved bits, and a checksum that is not zero, are as good as any.
        let reserved = edit(&|f| f[l4 + 8..l4 + 12].copy_from_slice(&[0xff; 4]));
        assert_eq!(bench.outcome(&reserved), Some(Outcome::Delivered));
        let summed = edit(&|f| f[l4 + 6..l4 + 8].copy_from_slice(&[0x12, 0x34]));
        assert_eq!(bench.outcome(&summed), Some(Outcome::Delivered));
        let last = edit(&|f| f[l4 + 15] = 0xff);
        assert_eq!(bench.outcome(&last), Some(Outcome::Delivered));

        let mut odd = vec![
            ("no valid VNI", edit(&|f| f[l4 + 8] = 0xf7)),
            ("padded", edit(&|f| f.push(0))),
            ("longer than it is", edit(&|f| f[length_at + 1] += 1)),
            ("UDP longer than IP", edit(&|f| f[l4 + 5] += 1)),
            ("UDP shorter than IP", edit(&|f| f[l4 + 5] -= 1)),
            ("cut in the payload", plain[..plain.len() - 1].to_vec()),
            (
                "cut in the inner headers",
                plain[..l4 + 16 + 14 + 20].to_vec(),
            ),
            (
                "cut in the inner Ethernet header",
                plain[..l4 + 16 + 5].to_vec(),
            ),
            ("cut in the VXLAN header", plain[..l4 + 12].to_vec()),
        ];
        if !is_ipv6 {
            let mut bad_sum = plain.clone();
            bad_sum[24] ^= 1;
            odd.extend([
                ("a first fragment", edit(&|f| f[20] |= 0x20)),
                ("version 5", edit(&|f| f[14] = 0x55)),
                ("a bad checksum", bad_sum),
            ]);
            let mut options = edit(&|f| f[14] = 0x46);
            options.splice(34..34, [1, 1, 1, 1]);
            odd.push(("options", options));
        }
        for (what, frame) in &odd {
            assert_eq!(bench.outcome(frame), Some(Outcome::Exception), "{what}");
        }
    }
}

#[test]
fn odd_inner_frames_are_the_agents() {
    let Some(mut bench) = UplinkBench::new("odd_inner_frames_are_the_agents", false) else {
        return;
    };
    bench.install(key(UDP, false));
    let (from, to) = ends_back(false);
    let good = compose::udp(&from, &to, b"payload");
    let edited = |at: usize, byte: u8| {
        let mut frame = good.clone();
        frame[at] = byte;
        frame
    };
    let arp = compose::arp_reply(&from, &to);
    let fragments = compose::fragments(&compose::udp(&from, &to, &[0; 300]), 1, 64);
    let mut tagged = good.clone();
    tagged.splice(12..12, [0x81, 0, 0, 5]);
    let odd = [
        ("ARP", arp),
        ("a first fragment", fragments[0].clone()),
        ("a later fragment", fragments[1].clone()),
        ("a tag", tagged),
        ("a bad checksum", edited(24, good[24] ^ 1)),
        (
            "another flow",
            compose::udp(&from, &wire::compose::Endpoint { port: 1, ..to }, b"x"),
        ),
        ("options", edited(14, 0x46)),
        ("nothing", good[..14].to_vec()),
    ];
    for (what, frame) in &odd {
        let frame = bench.far.wrapped(frame);
        assert_eq!(bench.outcome(&frame), Some(Outcome::Exception), "{what}");
    }
    // Whatever is flipped in it, no frame is taken for one of another flow.
    let arriving = bench.far.wrapped(&good);
    for bit in (50 * 8)..((50 + 14 + 20 + 8) * 8) {
        let mut frame = arriving.clone();
        frame[bit / 8] ^= 1 << (bit % 8);
        let outcome = bench.outcome(&frame);
        let (byte, is_delivered) = (bit / 8 - 50, outcome == Some(Outcome::Delivered));
        let in_source = (6..12).contains(&byte);
        let shorter = (38..40).contains(&byte)
            && (8..=15).contains(&u16::from_be_bytes([frame[88], frame[89]]));
        let in_checksum = (40..42).contains(&byte);
        assert_eq!(
            is_delivered,
            in_source || in_checksum || shorter,
            "bit {bit}"
        );
    }
}

#[test]
fn the_wire_has_a_budget_of_its_own() {
    let name = "the_wire_has_a_budget_of_its_own";
    let Some(bench) = UplinkBench::with(name, false, |config| config.exceptions_per_second = 1)
    else {
        return;
    };
    let unknown = frame(&bench.far.tunnel(), NIC);
    let outcomes: Vec<_> = (0..200).map(|_| bench.outcome(&unknown)).collect();
    let limited = outcomes
        .iter()
        .filter(|&&o| o == Some(Outcome::RateLimited))
        .count() as u64;
    assert!(limited > 100, "{limited}");
    let stats = bench.bench.engine.port_stats(PortId::UPLINK).unwrap();
    assert_eq!(stats.rate_limited_packets, limited);
    assert_eq!(stats.rate_limited_bytes, limited * unknown.len() as u64);
    assert_eq!(
        bench.bench.engine.port_stats(PortId(1)).unwrap(),
        bpf::PortStats::default()
    );
}

/// A refusal of the NIC's own is remembered like any other.
#[test]
fn what_the_receiver_refuses_is_dropped_here() {
    let name = "what_the_receiver_refuses_is_dropped_here";
    let Some(mut bench) = UplinkBench::new(name, false) else {
        return;
    };
    let (from, to) = ends_back(false);
    let key = FlowKey::new(
        PortId(1).from_uplink(),
        from.ip,
        to.ip,
        UDP,
        from.port,
        to.port,
    );
    let mut pair = bench.far.pair(key);
    pair.forward.transposition = flow::Transposition::drop(DropReason::NsgDenyInbound);
    pair.forward.peer = None;
    pair.reverse = None;
    bench.bench.install(pair);
    let inner = compose::udp(&from, &to, b"no");
    let arriving = bench.far.wrapped(&inner);
    assert_eq!(bench.outcome(&arriving), Some(Outcome::Dropped));
    let counted = crate::lab::counters(&mut bench.bench.engine, key);
    assert_eq!((counted.packets, counted.bytes), (1, inner.len() as u64));
    let stats = bench.bench.engine.port_stats(PortId::UPLINK).unwrap();
    assert_eq!(
        (stats.dropped_packets, stats.dropped_bytes),
        (1, arriving.len() as u64)
    );
    let engine = &mut bench.bench.engine;
    engine.set_drops_to_agent(PortId(1), true).unwrap();
    assert_eq!(bench.outcome(&arriving), Some(Outcome::Exception));
    // A packet of the remote guest with congestion it cannot know of is the NIC's to count.
    let congested = VxlanEncap {
        dscp_ecn: 3,
        ..bench.far.tunnel()
    };
    let plain = Packet::new(&from, &to, b"x").udp();
    assert_eq!(
        bench.outcome(&wrapped(&congested, &plain)),
        Some(Outcome::Exception)
    );
}
