use bpf::{BpfEngine, Config, Outcome, TestVerdict};
use flow::FlowPair;
use wire::TcpFlags;
use wire::compose::{self, Endpoint};

use crate::lab::{self, Guest, Lab, lab};

/// Two guests, and a flow from 4000 of the first to 5000 of the second.
pub(crate) struct Bench {
    pub(crate) engine: BpfEngine,
    pub(crate) guests: [Guest; 2],
    pub(crate) lab: Lab,
}

impl Bench {
    pub(crate) fn new(test: &str) -> Option<Bench> {
        Bench::with(test, |_| {})
    }

    pub(crate) fn with(test: &str, adjust: impl FnOnce(&mut Config)) -> Option<Bench> {
        let lab = lab(test)?;
        let mut config = lab.config();
        adjust(&mut config);
        let (mut engine, _) = lab.open_with(&config);
        let guests = lab.two_guests(&mut engine);
        Some(Bench {
            engine,
            guests,
            lab,
        })
    }

    pub(crate) fn pair(&self, protocol: u8) -> FlowPair {
        let [from, to] = [&self.guests[0], &self.guests[1]].map(Guest::attachment);
        lab::pair(lab::key(1, 2, protocol, 4000, 5000), from, to)
    }

    pub(crate) fn install(&mut self, pair: FlowPair) {
        lab::install(&mut self.engine, &[pair]);
    }

    pub(crate) fn ends(&self) -> (Endpoint, Endpoint) {
        (
            self.guests[0].source(4000),
            self.guests[1].behind_router(5000),
        )
    }

    pub(crate) fn udp(&self, payload: &[u8]) -> Vec<u8> {
        let (from, to) = self.ends();
        compose::udp(&from, &to, payload)
    }

    pub(crate) fn tcp(&self, flags: TcpFlags) -> Vec<u8> {
        let (from, to) = self.ends();
        compose::tcp(&from, &to, flags, b"data")
    }

    pub(crate) fn outcome(&self, frame: &[u8]) -> Option<Outcome> {
        let run = self.engine.test_run(self.guests[0].ifindex, frame).unwrap();
        match run.outcome {
            Some(Outcome::Dropped | Outcome::RateLimited) => {
                assert_eq!(run.verdict, TestVerdict::Shot);
            }
            _ => assert!(
                matches!(run.verdict, TestVerdict::Redirect { .. }),
                "{run:?}"
            ),
        }
        run.outcome
    }

    #[track_caller]
    pub(crate) fn delivers(&self, frame: &[u8]) {
        assert_eq!(self.outcome(frame), Some(Outcome::Delivered));
    }

    #[track_caller]
    pub(crate) fn excepts(&self, frame: &[u8]) {
        assert_eq!(self.outcome(frame), Some(Outcome::Exception));
    }
}
