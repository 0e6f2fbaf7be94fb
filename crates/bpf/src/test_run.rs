use aya::programs::{ProgramError, SchedClassifier};
use aya::{TestRun as _, TestRunOptions};

use crate::attach::{FROM_GUEST, FROM_UPLINK};
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
    /// `TC_ACT_UNSPEC`: the frame goes on to the next program, and to the host's stack.
    Next,
    /// Another action, which no program takes.
    Other(i32),
}

/// How the program came to its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An entry delivered the frame.
    Delivered,
    /// An entry sent it into a tunnel.
    Uplink,
    /// It is no VXLAN for this host.
    NotOurs,
    /// The agent gets it.
    Exception,
    /// An entry dropped it, or its device is no port, or it came off the uplink for no segment.
    Dropped,
    /// It would have been one exception too many.
    RateLimited,
}

/// `TC_ACT_UNSPEC`, `TC_ACT_SHOT` and `TC_ACT_REDIRECT` (linux/pkt_cls.h).
const UNSPEC: u32 = u32::MAX;
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
/// The outer headers over IPv6. A guest's own VLAN tag that was put back needs less.
const GROWTH: usize = 70;

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
        self.run(FROM_GUEST, ifindex, frame, segment_size)
    }

    /// As [`BpfEngine::test_run`], for a frame that came off the uplink's wire. It must be addressed
    /// to the uplink's device, as the kernel tells such frames from others by that.
    pub fn test_run_uplink(&self, frame: &[u8]) -> Result<TestRun, TestRunError> {
        self.test_run_uplink_segments(frame, 0)
    }

    /// The same for a super-segment of inner segments of this payload. The kernel's facility cannot
    /// say that they are TCP's, so it takes none of them out of a tunnel, nor into one: those are
    /// exceptions, as on the wire they are not.
    pub fn test_run_uplink_segments(
        &self,
        frame: &[u8],
        segment_size: u16,
    ) -> Result<TestRun, TestRunError> {
        let ifindex = self.uplink_device().ok_or(TestRunError::NoUplink)?;
        self.run(FROM_UPLINK, ifindex, frame, segment_size)
    }

    fn run(
        &self,
        name: &str,
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
        let program = self.programs.program(name).ok_or(ProgramError::NotLoaded);
        let result = program
            .and_then(<&SchedClassifier>::try_from)
            .and_then(|program| program.test_run(options))
            .map_err(|error| TestRunError::Kernel(Box::new(error)))?;
        frame_after.truncate(result.data_size_out as usize);
        Ok(TestRun {
            verdict: match result.return_value {
                UNSPEC => TestVerdict::Next,
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
        5 => Some(Outcome::Uplink),
        6 => Some(Outcome::NotOurs),
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
