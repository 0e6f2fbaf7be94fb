//! The parts we read of what `clearway ... --output json` prints.

use serde::Deserialize;

/// `clearway status`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    pub(crate) pid: u32,
    pub(crate) engine: String,
    /// Directions of flows that the agent knows.
    pub(crate) flows: usize,
    pub(crate) taken_over: TakenOver,
}

/// What a restarted agent found.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TakenOver {
    pub(crate) ports: usize,
    pub(crate) flows: usize,
}

/// A line of `clearway drops`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DropRow {
    /// `guest/nic`.
    pub(crate) nic: String,
    pub(crate) reason: String,
    pub(crate) packets: u64,
}

/// A line of `clearway nic list`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NicSummary {
    /// `guest/nic`.
    pub(crate) name: String,
    pub(crate) vf: VfState,
}

/// What `clearway vf` answers.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VfState {
    /// `accelerated`, `synthetic` or `down`.
    pub(crate) observed: String,
    pub(crate) reason: Option<String>,
}

/// `clearway nic stats`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NicStats {
    pub(crate) accelerated: PathStats,
    pub(crate) synthetic: PathStats,
    /// Frames for which the policy was walked.
    pub(crate) first_packets: u64,
}

/// What one path did.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PathStats {
    pub(crate) from_guest_packets: u64,
    pub(crate) to_guest_packets: u64,
}

impl NicStats {
    /// What was counted since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            accelerated: self.accelerated.since(earlier.accelerated),
            synthetic: self.synthetic.since(earlier.synthetic),
            first_packets: self.first_packets.saturating_sub(earlier.first_packets),
        }
    }

    /// The sum of both.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        Self {
            accelerated: self.accelerated.plus(other.accelerated),
            synthetic: self.synthetic.plus(other.synthetic),
            first_packets: self.first_packets + other.first_packets,
        }
    }

    /// What both paths did.
    pub(crate) fn both(&self) -> PathStats {
        self.accelerated.plus(self.synthetic)
    }
}

impl PathStats {
    fn plus(self, other: Self) -> Self {
        Self {
            from_guest_packets: self.from_guest_packets + other.from_guest_packets,
            to_guest_packets: self.to_guest_packets + other.to_guest_packets,
        }
    }

    /// Frames in either direction.
    pub(crate) fn packets(self) -> u64 {
        self.from_guest_packets + self.to_guest_packets
    }

    fn since(self, earlier: Self) -> Self {
        Self {
            from_guest_packets: self
                .from_guest_packets
                .saturating_sub(earlier.from_guest_packets),
            to_guest_packets: self
                .to_guest_packets
                .saturating_sub(earlier.to_guest_packets),
        }
    }
}
