use std::fmt;
use std::time::Duration;

use super::memory::Lifetime;

/// What was done, and what came of it.
#[derive(Default)]
pub(super) struct Report {
    pub(super) seed: u64,
    pub(super) rounds: u64,
    pub(super) applies: u64,
    pub(super) changes: u64,
    pub(super) reevaluations: u64,
    pub(super) revocations: u64,
    pub(super) restorations: u64,
    pub(super) kills: u64,
    /// Of them, in the middle of an apply.
    pub(super) kills_in_apply: u64,
    pub(super) terminations: u64,
    pub(super) allowed: u64,
    pub(super) denied: u64,
    pub(super) late: u64,
    pub(super) alive: u64,
    pub(super) alive_without_agent: u64,
    pub(super) cut: u64,
    pub(super) opened: u64,
    pub(super) refused: u64,
    pub(super) datagrams: u64,
    pub(super) datagrams_lost: u64,
    /// Of an established flow between accelerated guests, whatever was done.
    pub(super) silence: Duration,
    /// The same when the agent was dead and one of the guests synthetic.
    pub(super) silence_synthetic: Duration,
    /// Of a held connection.
    pub(super) conversation: Duration,
    pub(super) restart: Duration,
    pub(super) life: Option<Lifetime>,
}

impl Report {
    /// Verdicts that were held against the world.
    fn verdicts(&self) -> u64 {
        let established = self.alive + self.alive_without_agent + self.cut;
        self.allowed + self.denied + established + self.opened + self.refused
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, {} rounds", self.seed, self.rounds)?;
        writeln!(
            f,
            "  done      {} applies with {} changes, {} of them re-evaluating",
            self.applies, self.changes, self.reevaluations
        )?;
        writeln!(
            f,
            "            {} VFs revoked, {} restored",
            self.revocations, self.restorations
        )?;
        writeln!(
            f,
            "            agent killed {} times, {} of them in an apply; terminated {} times",
            self.kills, self.kills_in_apply, self.terminations
        )?;
        writeln!(f, "  verdicts  {}, none wrong:", self.verdicts())?;
        writeln!(
            f,
            "            first packets {} allowed ({} when sent again), {} denied",
            self.allowed, self.late, self.denied
        )?;
        writeln!(
            f,
            "            meanwhile {} connections opened, {} refused",
            self.opened, self.refused
        )?;
        writeln!(
            f,
            "            established {} went on, {} without an agent, {} cut as was due",
            self.alive, self.alive_without_agent, self.cut
        )?;
        writeln!(
            f,
            "  silence   {:?} at most; {:?} on the synthetic path of a dead agent",
            self.silence, self.silence_synthetic
        )?;
        writeln!(
            f,
            "            {:?} the slowest exchange on an open connection; {} of {} datagrams lost",
            self.conversation, self.datagrams_lost, self.datagrams
        )?;
        write!(f, "  restart   {:?} at most", self.restart)?;
        if let Some(life) = &self.life {
            let mebibytes = life.resident.map(|bytes| bytes >> 20);
            write!(
                f,
                "\n  agent     lived {:.0?}: {} MiB and {} descriptors at a quarter of it, {} MiB \
                 and {} at the end; {} flows at most",
                life.age,
                mebibytes[0],
                life.descriptors[0],
                mebibytes[1],
                life.descriptors[1],
                life.flows_most
            )?;
        }
        Ok(())
    }
}
