//! The invariant on one connection, step by step: who executes its packets, and that it makes no
//! difference. For those who are new here.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use flow::{DropReason, PortMode, TcpState};
use policy::input::NextHop;
use vswitch::{Limits, Outcome};
use wire::compose::{Endpoint, Packet};
use wire::{MacAddr, TcpFlags};

use crate::accelerated::{Accelerated, By};
use crate::compare::compare;
use crate::kernel::Kernel;
use crate::lab::with_kernel;
use crate::model::bench::{Bench, ROOMY, dropped, to, via_router};
use crate::model::rules::{allow, deny, nic_group};
use crate::model::world::World;

const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;
const FIN: TcpFlags = TcpFlags::FIN;

/// Two guests, 1 and 2, and a connection between them.
struct Connection<'a> {
    software: Bench,
    accelerated: Accelerated<'a>,
    opener: Endpoint,
    answerer: Endpoint,
}

#[test]
fn lab_kernel_a_connection_from_syn_to_oblivion() {
    with_kernel(
        "lab_kernel_a_connection_from_syn_to_oblivion",
        |mut kernel| {
            let mut connection = Connection::new(&mut kernel, ROOMY);
            let delivered = |by| move |port| (to(port), by);
            let (by_kernel, by_switch) = (delivered(By::Kernel), delivered(By::Switch));

            // The first packet has no entry: the switch judges it, and tells the kernel of both ways.
            assert_eq!(connection.opener_sends(SYN), by_switch(2));
            assert_eq!(connection.answerer_sends(SYN | ACK), by_kernel(1));
            assert_eq!(connection.opener_sends(ACK), by_kernel(2));
            assert_eq!(connection.state(), TcpState::Established);

            // A rule against it comes too late for the connection, and in time for the next SYN. The
            // connection of the same ports does not suffer from that.
            connection.edit(|world| {
                world.set_inbound(2, vec![nic_group(vec![deny("none", 100)])]);
            });
            assert_eq!(connection.opener_sends(ACK), by_kernel(2));
            let refused = dropped(DropReason::NsgDenyInbound);
            assert_eq!(connection.opener_sends(SYN), (refused, By::Switch));
            assert_eq!(connection.answerer_sends(ACK), by_kernel(1));

            // A refusal without a connection is remembered, and becomes the kernel's to execute.
            connection.opener.port += 1;
            assert_eq!(connection.opener_sends(SYN), (refused, By::Switch));
            assert_eq!(connection.opener_sends(SYN), (refused, By::Kernel));
            // Until an edit, which may allow it.
            connection.edit(|world| {
                world.set_inbound(2, vec![nic_group(vec![allow("all", 100)])]);
            });
            assert_eq!(connection.opener_sends(SYN), by_switch(2));
            assert_eq!(connection.answerer_sends(SYN | ACK), by_kernel(1));
            connection.opener.port -= 1;

            // No route for a while: what is stale is looked at anew, and then the kernel drops it.
            connection.edit(|world| world.add_route(1, "10.0.0.2/32", NextHop::None));
            let no_route = dropped(DropReason::NoRoute);
            assert_eq!(connection.opener_sends(ACK), (no_route, By::Switch));
            assert_eq!(connection.opener_sends(ACK), (no_route, By::Kernel));
            connection.edit(|world| world.clear_user_routes(1));
            assert_eq!(connection.opener_sends(ACK), by_switch(2));
            assert_eq!(connection.opener_sends(ACK), by_kernel(2));

            // The accelerated path is revoked, and comes back. The guests notice nothing.
            let receiver = flow::PortId(2);
            connection
                .accelerated
                .set_mode(receiver, PortMode::Synthetic);
            assert_eq!(connection.opener_sends(ACK), by_switch(2));
            assert_eq!(connection.answerer_sends(ACK), by_switch(1));
            connection
                .accelerated
                .set_mode(receiver, PortMode::Accelerated);
            assert_eq!(connection.opener_sends(ACK), by_kernel(2));

            // A segment that does not fit is the switch's to complain about.
            let payload = vec![0; 2_000];
            let too_big = (dropped(DropReason::TooBig), By::Switch);
            assert_eq!(connection.sends(1, ACK, &payload), too_big);

            assert_eq!(connection.opener_sends(FIN | ACK), by_kernel(2));
            assert_eq!(connection.answerer_sends(FIN | ACK), by_kernel(1));
            assert_eq!(connection.opener_sends(ACK), by_kernel(2));
            connection.accelerated.take_events();
            assert_eq!(connection.state(), TcpState::TimeWait);

            // Closed connections go soon. The other one is open, but its opener never acknowledged.
            connection.pass(Duration::from_secs(60));
            assert!(connection.accelerated.switch.flows().is_empty());
            let stray = dropped(DropReason::TcpNoConnection);
            assert_eq!(connection.opener_sends(ACK), (stray, By::Switch));
        },
    );
}

/// Room is made at the cost of handshakes without an answer. Of most answers only the kernel knows,
/// so it tells.
#[test]
fn lab_kernel_what_was_answered_is_not_recycled() {
    with_kernel(
        "lab_kernel_what_was_answered_is_not_recycled",
        |mut kernel| {
            let limits = Limits {
                flows_per_port_max: NonZeroU32::new(16).unwrap(),
                ..ROOMY
            };
            let mut connection = Connection::new(&mut kernel, limits);
            assert_eq!(connection.opener_sends(SYN).0, to(2));
            assert_eq!(connection.answerer_sends(SYN | ACK), (to(1), By::Kernel));
            connection.accelerated.take_events();
            let first = connection.opener.port;
            for _ in 0..40 {
                connection.opener.port += 1;
                assert_eq!(connection.opener_sends(SYN), (to(2), By::Switch));
            }
            connection.opener.port = first;
            assert_eq!(connection.opener_sends(ACK), (to(2), By::Kernel));
        },
    );
}

impl<'a> Connection<'a> {
    fn new(kernel: &'a mut Kernel, limits: Limits) -> Connection<'a> {
        let software = Bench::with_limits(World::of(&[0, 0]), limits);
        let accelerated = Accelerated::new(kernel, limits, software.switch.policy());
        let (opener, answerer) = (software.end(1, 40_000), software.end(2, 80));
        Connection {
            software,
            accelerated,
            opener,
            answerer,
        }
    }

    fn opener_sends(&mut self, flags: TcpFlags) -> (Outcome, By) {
        self.sends(1, flags, b"")
    }

    fn answerer_sends(&mut self, flags: TcpFlags) -> (Outcome, By) {
        self.sends(2, flags, b"")
    }

    /// Sends through both switches, which must agree on everything, and says what became of it and
    /// who did it on the accelerated side.
    fn sends(&mut self, from: u8, flags: TcpFlags, payload: &[u8]) -> (Outcome, By) {
        let (src, dst) = match from {
            1 => (self.opener, via_router(self.answerer)),
            _ => (self.answerer, via_router(self.opener)),
        };
        let frame = Packet::new(&src, &dst, payload).tcp(flags, 1, 1);
        let expected = self.software.send(from, &frame);
        let port = flow::PortId(from.into());
        let (sent, by) = self.accelerated.send(port, &frame, None, self.software.now);
        assert_eq!(sent, expected, "{by:?}");
        if let Outcome::Deliver(_) = sent.outcome {
            let to = if from == 1 {
                self.answerer.mac
            } else {
                self.opener.mac
            };
            assert_eq!(
                wire::dissect(&sent.frame).map(|frame| frame.dst),
                Ok::<MacAddr, _>(to)
            );
        }
        compare(&self.software.switch, &mut self.accelerated);
        (sent.outcome, by)
    }

    fn edit(&mut self, change: impl FnOnce(&mut World)) {
        self.software.edit(change);
        let policy = Arc::clone(self.software.switch.policy());
        self.accelerated.publish(&policy);
    }

    fn pass(&mut self, time: Duration) {
        self.software.pass(time);
        self.software.sweep();
        self.accelerated.sweep(self.software.now);
    }

    /// How far the connection has come, as the agent knows it.
    fn state(&mut self) -> TcpState {
        self.accelerated.read_flows();
        let flows = self.accelerated.switch.flows();
        let (src, dst) = (self.opener, self.answerer);
        let key = flow::FlowKey::new(flow::PortId(1), src.ip, dst.ip, 6, src.port, dst.port);
        let id = flows.lookup(&key).expect("the connection is there");
        flows.tcp_state(id).expect("it is of TCP")
    }
}
