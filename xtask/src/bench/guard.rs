//! A sample counts only if the two processors were near each other, before it and after.
//!
//! Nobody can tell the host where to run us, so the guard waits for a near spell, measures, and
//! looks again; what never comes out near is kept and marked, not thrown away.
//!
//! What is near differs from machine to machine. Unless told, the guard calibrates: it probes for
//! about two seconds and takes 1.5 times the median of the lowest quarter. Machines that show two
//! modes have them more than twice apart, and one mode's own probes vary by less than half. A
//! calibration that saw nothing but a far spell lets both modes pass; the limit is printed with the
//! results, so that this can be seen.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::rows::median;

/// Probes of a calibration, the pause between two, and how far above their low ones near reaches.
const CALIBRATION_PROBES: u32 = 20;
const CALIBRATION_PAUSE: Duration = Duration::from_millis(50);
const NEAR_RATIO: f64 = 1.5;
/// Between one look and the next.
const PAUSE: Duration = Duration::from_millis(500);
/// Far probes that differ by less than this factor show one mode, not one of two.
const FLAT_RATIO: f64 = 1.5;

/// How far apart the processors were during a sample.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Distance {
    /// Near before and after: the sample counts.
    Near,
    /// Far before or after, each time it was tried.
    Far,
    /// Nobody looked, because the guard is off.
    Unprobed,
}

/// How long to wait for good samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Times a sample is taken before a far one is kept.
    pub(crate) tries: u32,
    /// Probes before each try, until one is near.
    pub(crate) looks: u32,
    /// Probes at the start, until one is near, before the probe may be called flat.
    pub(crate) calibration: u32,
    /// Pauses and repeated samples in the whole run: past them what comes is taken, and marked if it
    /// is far, so that a bad hour costs minutes and not hours.
    pub(crate) pauses: u32,
    pub(crate) repeats: u32,
}

impl Patience {
    /// For figures to be published.
    pub(crate) const DEFAULT: Self = Self {
        tries: 3,
        looks: 20,
        calibration: 60,
        pauses: 200,
        repeats: 50,
    };
    /// For seeing that a benchmark works.
    pub(crate) const QUICK: Self = Self {
        tries: 1,
        looks: 4,
        calibration: 6,
        pauses: 20,
        repeats: 0,
    };
}

/// Measures the cache-line round trip, in nanoseconds.
pub(crate) type Probe = Box<dyn FnMut() -> Result<f64>>;
/// Waits for a time.
pub(crate) type Pause = Box<dyn FnMut(Duration)>;

/// Takes samples when the processors are near each other.
pub(crate) struct Guard {
    state: State,
}

enum State {
    On {
        probe: Probe,
        pause: Pause,
        near_ns: f64,
        patience: Patience,
    },
    Off {
        because: String,
    },
}

impl Guard {
    /// A guard that lets every sample pass, and the reason.
    pub(crate) fn off(because: &str) -> Self {
        Self {
            state: State::Off {
                because: because.to_owned(),
            },
        }
    }

    /// A guard that finds out itself what is near.
    pub(crate) fn calibrate(
        mut probe: Probe,
        mut pause: Pause,
        patience: Patience,
    ) -> Result<Self> {
        let mut round_trips = Vec::new();
        for look in 0..CALIBRATION_PROBES {
            if look > 0 {
                pause(CALIBRATION_PAUSE);
            }
            round_trips.push(probe()?);
        }
        round_trips.sort_by(f64::total_cmp);
        let lowest = &round_trips[..round_trips.len().div_ceil(4)];
        let near_ns = median(lowest).unwrap_or(0.0) * NEAR_RATIO;
        Ok(Self {
            state: State::On {
                probe,
                pause,
                near_ns,
                patience,
            },
        })
    }

    /// A guard with a limit, unless the probe shows only one, far, mode: then there is nothing to
    /// choose between and waiting would be vain.
    pub(crate) fn with_limit(
        mut probe: Probe,
        mut pause: Pause,
        near_ns: f64,
        patience: Patience,
    ) -> Result<Self> {
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for look in 0..patience.calibration {
            if look > 0 {
                pause(PAUSE);
            }
            let round_trip = probe()?;
            least = least.min(round_trip);
            most = most.max(round_trip);
            if round_trip <= near_ns || most > least * FLAT_RATIO {
                return Ok(Self {
                    state: State::On {
                        probe,
                        pause,
                        near_ns,
                        patience,
                    },
                });
            }
        }
        Ok(Self::off(&format!(
            "the probe is flat at {least:.0} to {most:.0} ns, above the limit of {near_ns:.0} ns"
        )))
    }

    /// Why the guard is off, if it is.
    pub(crate) fn off_because(&self) -> Option<&str> {
        match &self.state {
            State::On { .. } => None,
            State::Off { because } => Some(because),
        }
    }

    /// The longest round trip that is near, in nanoseconds, if the guard is on.
    pub(crate) fn limit_ns(&self) -> Option<f64> {
        match &self.state {
            State::On { near_ns, .. } => Some(*near_ns),
            State::Off { .. } => None,
        }
    }

    /// Takes a sample, several times if need be, and says how far apart the processors were.
    pub(crate) fn sample<T>(
        &mut self,
        mut take: impl FnMut() -> Result<T>,
    ) -> Result<(T, Distance)> {
        let State::On {
            probe,
            pause,
            near_ns,
            patience,
        } = &mut self.state
        else {
            return Ok((take()?, Distance::Unprobed));
        };
        let mut attempt = 1;
        loop {
            let near_before = wait_until_near(probe, pause, *near_ns, patience)?;
            let value = take()?;
            let near_after = probe()? <= *near_ns;
            if near_before && near_after {
                return Ok((value, Distance::Near));
            }
            if attempt >= patience.tries || patience.repeats == 0 {
                return Ok((value, Distance::Far));
            }
            attempt += 1;
            patience.repeats -= 1;
        }
    }
}

fn wait_until_near(
    probe: &mut Probe,
    pause: &mut Pause,
    near_ns: f64,
    patience: &mut Patience,
) -> Result<bool> {
    for look in 0..patience.looks {
        if look > 0 {
            if patience.pauses == 0 {
                return Ok(false);
            }
            patience.pauses -= 1;
            pause(PAUSE);
        }
        if probe()? <= near_ns {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The limit: what the command line says, else the environment; none to calibrate.
pub(crate) fn near_ns(flag: Option<f64>, environment: Option<String>) -> Result<Option<f64>> {
    let said = match (flag, environment) {
        (Some(flag), _) => flag,
        (None, Some(text)) => text
            .parse()
            .with_context(|| format!("CLEARWAY_BENCH_NEAR_NS is no number: {text}"))?,
        (None, None) => return Ok(None),
    };
    if !said.is_finite() || said <= 0.0 {
        bail!("the limit for near processors must be above 0 ns");
    }
    Ok(Some(said))
}

#[cfg(test)]
mod tests;
