//! The same policy on both paths: every expectation is tried on each, and must come out alike.

use std::process::Stdio;

use anyhow::Result;
use comfy_table::CellAlignment;

use super::address_of;
use super::expectations::{EXPECTATIONS, Expectation, IPERF_PORT, Verdict};
use super::probe;
use super::promises::Promises;
use crate::bench::print::table;
use crate::clearway::answers::NicStats;
use crate::clearway::{Instance, ServedBy};
use crate::process;
use crate::progress::Progress;

const APPLIANCE: &str = "nva-1";
/// First packets that a transfer of two connections may have, with retries and neighbours.
const FIRST_PACKETS_MAX: u64 = 16;
/// Of an accelerated transfer's packets, those that the switch may see: the first and last ones of
/// each connection, which it tracks.
const SYNTHETIC_SHARE_MAX: f64 = 0.01;

/// What was seen on one path.
struct Seen {
    verdicts: Vec<Verdict>,
    /// What the appliance's NIC counted during everything it is to forward.
    appliance: NicStats,
    /// What every NIC counted together.
    all: NicStats,
}

/// Tries everything on both paths, prints the verdicts and holds the promises about them.
pub(super) fn show(instance: &Instance, promises: &mut Promises) -> Result<()> {
    let progress = Progress::start("trying the synthetic path");
    let synthetic = try_all(instance, ServedBy::Synthetic, &progress)?;
    let accelerated = try_all(instance, ServedBy::Accelerated, &progress)?;
    let transfer = accelerated_transfer(instance)?;
    drop(progress);

    print_verdicts(&synthetic.verdicts, &accelerated.verdicts);
    for (path, seen) in [
        (ServedBy::Synthetic, &synthetic),
        (ServedBy::Accelerated, &accelerated),
    ] {
        hold_verdicts(path, &seen.verdicts, promises);
        hold_appliance(path, &seen.appliance, promises);
    }
    promises.hold(
        "with every VF revoked nothing is accelerated",
        synthetic.all.accelerated.packets() == 0,
        || format!("{} packets were", synthetic.all.accelerated.packets()),
    );
    hold_transfer(&transfer, promises);
    Ok(())
}

fn try_all(instance: &Instance, path: ServedBy, progress: &Progress) -> Result<Seen> {
    for nic in instance.nics()? {
        instance.serve_by(&nic.name, path)?;
    }
    let all = total(instance)?;
    let mut appliance = NicStats::default();
    let mut verdicts = Vec::new();
    for (index, expected) in EXPECTATIONS.iter().enumerate() {
        progress.note(&format!(
            "{}, {} of {}: {expected}",
            path.name(),
            index + 1,
            EXPECTATIONS.len()
        ));
        let before = instance.stats(APPLIANCE)?;
        verdicts.push(probe::try_out(instance, expected)?);
        if expected.passes_appliance() && expected.verdict == Verdict::Allowed {
            appliance = instance.stats(APPLIANCE)?.since(&before);
        }
    }
    Ok(Seen {
        verdicts,
        appliance,
        all: total(instance)?.since(&all),
    })
}

/// The counters of every NIC, added up.
fn total(instance: &Instance) -> Result<NicStats> {
    let nics = instance.nics()?;
    nics.iter().try_fold(NicStats::default(), |sum, nic| {
        Ok(sum.plus(&instance.stats(&nic.name)?))
    })
}

/// A second of TCP from client-1 to web-1, and what client-1's NIC counted.
fn accelerated_transfer(instance: &Instance) -> Result<NicStats> {
    let before = instance.stats("client-1")?;
    let mut command = instance.exec("client-1", "iperf3");
    command
        .args(["--client", address_of("web-1")?, "--time", "1"])
        .args(["--port", &IPERF_PORT.to_string()])
        .stdin(Stdio::null());
    process::capture(&mut command)?;
    Ok(instance.stats("client-1")?.since(&before))
}

fn print_verdicts(synthetic: &[Verdict], accelerated: &[Verdict]) {
    let mut table = table(&[
        "from",
        "to",
        "traffic",
        "rule",
        "synthetic",
        "accelerated",
        "",
    ]);
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Left);
    }
    let seen = synthetic.iter().zip(accelerated);
    for (expected, (synthetic, accelerated)) in EXPECTATIONS.iter().zip(seen) {
        let right = [synthetic, accelerated]
            .iter()
            .all(|verdict| **verdict == expected.verdict);
        table.add_row([
            expected.from.to_owned(),
            expected.to.to_owned(),
            expected.traffic.to_string(),
            expected.rule.to_owned(),
            synthetic.to_string(),
            accelerated.to_string(),
            if right { "ok" } else { "WRONG" }.to_owned(),
        ]);
    }
    println!("{table}");
}

fn hold_verdicts(path: ServedBy, verdicts: &[Verdict], promises: &mut Promises) {
    let wrong = mismatches(&EXPECTATIONS, verdicts);
    let promise = format!(
        "the {} path decides as the policy says, {} times",
        path.name(),
        EXPECTATIONS.len()
    );
    promises.hold(&promise, wrong.is_empty(), || wrong.join("; "));
}

/// What came out otherwise than expected, in words.
fn mismatches(expectations: &[Expectation], verdicts: &[Verdict]) -> Vec<String> {
    expectations
        .iter()
        .zip(verdicts)
        .filter(|(expected, verdict)| expected.verdict != **verdict)
        .map(|(expected, verdict)| {
            format!(
                "{expected} is {verdict} and should be {} by {}",
                expected.verdict, expected.rule
            )
        })
        .collect()
}

fn hold_appliance(path: ServedBy, moved: &NicStats, promises: &mut Promises) {
    let both = moved.both();
    let (to, from) = (both.to_guest_packets, both.from_guest_packets);
    let promise = format!(
        "traffic between web-1 and db-1 passes {APPLIANCE} on the {} path: {to} packets in, \
         {from} out, {} of them accelerated",
        path.name(),
        moved.accelerated.packets()
    );
    let kept = to > 0 && from > 0;
    promises.hold(&promise, kept, || "it was passed by".to_owned());
}

fn hold_transfer(moved: &NicStats, promises: &mut Promises) {
    let (fast, slow) = (moved.accelerated.packets(), moved.synthetic.packets());
    let promise = format!(
        "established traffic leaves the agent alone: {fast} packets accelerated, {slow} through \
         the switch, {} of them first packets",
        moved.first_packets
    );
    promises.hold(&promise, leaves_agent_alone(moved), || {
        format!(
            "at most {FIRST_PACKETS_MAX} first packets and {:.0} % through the switch were meant",
            SYNTHETIC_SHARE_MAX * 100.0
        )
    });
}

fn leaves_agent_alone(moved: &NicStats) -> bool {
    let (fast, slow) = (moved.accelerated.packets(), moved.synthetic.packets());
    fast > 0
        && moved.first_packets <= FIRST_PACKETS_MAX
        && slow as f64 <= (fast + slow) as f64 * SYNTHETIC_SHARE_MAX
}

#[cfg(test)]
mod tests {
    use super::{leaves_agent_alone, mismatches};
    use crate::clearway::answers::{NicStats, PathStats};
    use crate::quickstart::expectations::{EXPECTATIONS, Verdict};

    #[test]
    fn every_mismatch_is_named_with_its_rule() {
        let mut verdicts: Vec<Verdict> = EXPECTATIONS.iter().map(|one| one.verdict).collect();
        assert!(mismatches(&EXPECTATIONS, &verdicts).is_empty());
        verdicts[1] = Verdict::Denied;
        assert_eq!(
            mismatches(&EXPECTATIONS, &verdicts),
            ["client-1 -> web-1, http 80 is denied and should be allowed by web/allow-http"]
        );
    }

    #[test]
    fn a_transfer_through_the_switch_is_noticed() {
        let stats = |fast, slow, first_packets| NicStats {
            accelerated: PathStats {
                from_guest_packets: fast,
                to_guest_packets: 0,
            },
            synthetic: PathStats {
                from_guest_packets: 0,
                to_guest_packets: slow,
            },
            first_packets,
        };
        assert!(leaves_agent_alone(&stats(100_000, 12, 2)));
        assert!(!leaves_agent_alone(&stats(0, 0, 0)));
        assert!(!leaves_agent_alone(&stats(100_000, 100_000, 2)));
        assert!(!leaves_agent_alone(&stats(100_000, 12, 1_000)));
    }
}
