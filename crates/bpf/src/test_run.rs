use aya::programs::{ProgramError, SchedClassifier};
use aya::{TestRun as _, TestRunOptions};

use crate::attach::FROM_GUEST;
use crate::{BpfEngine, TestRunError};

/// What the program did with a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestRun {
    /// What it told the kernel.
    pub verdict: TestVerdict,
    /// Why.
    pub outcome: Option<Outcome>,
    /// The frame as it would have gone on. A VLAN tag in the metadata does not show.
    pub frame: Vec<u8>,
}

/// What a TC program tells the kernel to do (linux/pkt_cls.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestVerdict {
    /// `TC_ACT_REDIRECT`, to this device.
    Redirect {
        /// The device's index.
        ifindex: u32,
    },
    /// `TC_ACT_SHOT`: the frame ends here.
    Shot,
    /// Another action, which the program never takes.
    Other(i32),
}

/// How the program came to its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An entry delivered the frame.
    Delivered,
    /// The agent gets it.
    Exception,
    /// An entry dropped it, or its device is no port.
    Dropped,
    /// It would have been one exception too many.
    RateLimited,
}

/// `TC_ACT_SHOT` and `TC_ACT_REDIRECT` (linux/pkt_cls.h).
const SHOT: u32 = 2;
const REDIRECT: u32 = 7;

/// `struct __sk_buff` (linux/bpf.h), which grows at its end.
const CONTEXT_SIZE: usize = 192;
const CONTEXT_IFINDEX: usize = 40;
const CONTEXT_CB: usize = 48;
const CONTEXT_GSO_SIZE: usize = 176;

const ETHERNET_LEN: usize = 14;
/// More than the kernel takes, which is a page without its own headers.
const FRAME_MAX: usize = 4096;
/// A guest's own VLAN tag may have been put back into the frame.
const GROWTH: usize = 4;

impl BpfEngine {
    /// Runs a frame through the program as if the device had received it, by the kernel's own
    /// facility (`BPF_PROG_TEST_RUN`). Nothing is sent, but everything is counted and budgeted as
    /// for a real frame.
    pub fn test_run(&self, ifindex: u32, frame: &[u8]) -> Result<TestRun, TestRunError> {
        self.test_run_segments(ifindex, frame, 0)
    }

    /// The same for a super-segment that offloads would cut into segments of this payload.
    pub fn test_run_segments(
        &self,
        ifindex: u32,
        frame: &[u8],
        segment_size: u16,
    ) -> Result<TestRun, TestRunError> {
        if !(ETHERNET_LEN..=FRAME_MAX).contains(&frame.len()) {
            return Err(TestRunError::FrameLength(frame.len()));
        }
        let mut context = [0; CONTEXT_SIZE];
        put(&mut context, CONTEXT_IFINDEX, ifindex);
        put(&mut context, CONTEXT_GSO_SIZE, segment_size.into());
        let mut context_after = [0; CONTEXT_SIZE];
        let mut frame_after = vec![0; frame.len() + GROWTH];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut frame_after),
            ctx_in: Some(&context),
            ctx_out: Some(&mut context_after),
            ..TestRunOptions::default()
        };
        let program = self
            .programs
            .program(FROM_GUEST)
            .ok_or(ProgramError::NotLoaded);
        let result = program
            .and_then(<&SchedClassifier>::try_from)
            .and_then(|program| program.test_run(options))
            .map_err(|error| TestRunError::Kernel(Box::new(error)))?;
        frame_after.truncate(result.data_size_out as usize);
        Ok(TestRun {
            verdict: match result.return_value {
                SHOT => TestVerdict::Shot,
                REDIRECT => TestVerdict::Redirect {
                    ifindex: get(&context_after, CONTEXT_CB + 4),
                },
                other => TestVerdict::Other(other.cast_signed()),
            },
            outcome: outcome(get(&context_after, CONTEXT_CB)),
            frame: frame_after,
        })
    }
}

fn outcome(number: u32) -> Option<Outcome> {
    match number {
        1 => Some(Outcome::Delivered),
        2 => Some(Outcome::Exception),
        3 => Some(Outcome::Dropped),
        4 => Some(Outcome::RateLimited),
        _ => None,
    }
}

fn put(context: &mut [u8; CONTEXT_SIZE], at: usize, value: u32) {
    context[at..at + 4].copy_from_slice(&value.to_ne_bytes());
}

fn get(context: &[u8; CONTEXT_SIZE], at: usize) -> u32 {
    let [a, b, c, d] = [
        context[at],
        context[at + 1],
        context[at + 2],
        context[at + 3],
    ];
    u32::from_ne_bytes([a, b, c, d])
}
