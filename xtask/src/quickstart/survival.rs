//! What connections outlive: a VF taken away and given back, and the agent's death.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::expectations::{Expectation, IPERF_PORT, Traffic, Verdict};
use super::probe;
use super::promises::Promises;
use super::transfer::{SENDER, Transfer};
use crate::clearway::answers::NicStats;
use crate::clearway::{Instance, ServedBy};
use crate::progress::Progress;

/// Within this time from its start, a new agent has to let new connections through.
const BACK_WITHIN: Duration = Duration::from_secs(1);

/// What is tried on the new agent: a connection that it has never seen.
const NEW_CONNECTION: Expectation = Expectation {
    from: "client-1",
    to: "web-1",
    traffic: Traffic::Tcp { port: IPERF_PORT },
    verdict: Verdict::Allowed,
    rule: "web/allow-iperf-tcp",
};

/// Revokes and restores the sender's VF during a transfer.
pub(super) fn of_revocation(
    instance: &Instance,
    turn: Duration,
    promises: &mut Promises,
) -> Result<()> {
    let progress = Progress::start("a transfer runs");
    let mut transfer = Transfer::start(instance, turn * 3)?;
    transfer.go_on_for(turn);

    progress.note("the VF is revoked");
    instance.serve_by(SENDER, ServedBy::Synthetic)?;
    transfer.turn("the VF was revoked");
    let before = instance.stats(SENDER)?;
    transfer.go_on_for(turn);
    let without = instance.stats(SENDER)?.since(&before);

    progress.note("the VF is restored");
    instance.serve_by(SENDER, ServedBy::Accelerated)?;
    transfer.turn("the VF was restored");
    let before = instance.stats(SENDER)?;
    let outcome = transfer.finish()?;
    let with = instance.stats(SENDER)?.since(&before);
    drop(progress);

    outcome.hold("losing and regaining its VF", promises);
    let moved = |stats: &NicStats| {
        format!(
            "{} packets synthetic, {} accelerated",
            stats.synthetic.packets(),
            stats.accelerated.packets()
        )
    };
    promises.hold(
        &format!("without its VF the switch carries it: {}", moved(&without)),
        without.synthetic.packets() > 0 && without.accelerated.from_guest_packets == 0,
        || "not so".to_owned(),
    );
    promises.hold(
        &format!("with its VF the flow engine does: {}", moved(&with)),
        with.accelerated.packets() > with.synthetic.packets(),
        || "not so".to_owned(),
    );
    Ok(())
}

/// Kills the agent during a transfer, and starts it again.
pub(super) fn of_the_agent(
    instance: &Instance,
    turn: Duration,
    promises: &mut Promises,
) -> Result<()> {
    let progress = Progress::start("a transfer runs");
    let mut transfer = Transfer::start(instance, turn * 3)?;
    transfer.go_on_for(turn);

    instance.kill_agent()?;
    progress.note("the agent is dead");
    transfer.turn("the agent was killed");
    transfer.go_on_for(turn);

    transfer.turn("the agent was started again");
    let begun = Instant::now();
    let started = instance.start_agent_again()?;
    let verdict = probe::try_out(instance, &NEW_CONNECTION)?;
    let back = begun.elapsed();
    let status = instance.status()?;
    let outcome = transfer.finish()?;
    drop(progress);

    outcome.hold("the agent", promises);
    let promise = format!(
        "a new agent answers {:.0} ms after its start, and a new connection works after {:.0} ms",
        started.as_secs_f64() * 1e3,
        back.as_secs_f64() * 1e3
    );
    let kept = verdict == Verdict::Allowed && back <= BACK_WITHIN;
    promises.hold(&promise, kept, || match verdict {
        Verdict::Denied => "new connections are denied".to_owned(),
        Verdict::Allowed => format!("at most {} ms were meant", BACK_WITHIN.as_millis()),
    });
    let found = status.taken_over;
    promises.hold(
        &format!(
            "it took over {} ports and {} flow directions",
            found.ports, found.flows
        ),
        found.ports > 0 && found.flows > 0,
        || "it began anew".to_owned(),
    );
    Ok(())
}
