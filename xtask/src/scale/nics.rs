//! NICs of one host.

use anyhow::Result;

use super::bed::{Applied, Bed};
use super::document::Size;
use super::{Scale, median};
use crate::bench::interleave::Better;

const SIZES: [u32; 6] = [2, 10, 30, 100, 300, 1_000];
const SIZES_QUICK: [u32; 3] = [2, 5, 10];
const CHANGES: usize = 7;
const RULES: u16 = 100;

pub(crate) fn grow(scale: &mut Scale) -> Result<()> {
    let sizes: &[u32] = if scale.quick { &SIZES_QUICK } else { &SIZES };
    for &nics in sizes {
        scale.progress.note(&format!("{nics} NICs"));
        let size = Size {
            nics,
            rules: RULES,
            flows: None,
        };
        let mut bed = Bed::start(&scale.program()?, size)?;
        let mut put = |name: &str, unit: &str, value: f64| {
            scale.put("NICs", name, unit, Better::Lower, u64::from(nics), value);
        };
        put("up", "ms", bed.up.as_secs_f64() * 1e3);
        put("agent, resident", "MiB", bed.resident_mib()?);
        let applied = (0..CHANGES)
            .map(|_| bed.change())
            .collect::<Result<Vec<Applied>>>()?;
        let ms = |of: fn(&Applied) -> std::time::Duration| {
            median(applied.iter().map(|one| of(one).as_secs_f64() * 1e3))
        };
        put("apply of one rule, answered", "ms", ms(|one| one.answered));
        put(
            "apply of one rule, on all NICs",
            "ms",
            ms(|one| one.visible),
        );
        let testbed = bed.between(0, nics - 1)?;
        put("UDP round trip, p50", "µs", bed.round_trip_us(&testbed)?);
        put("agent, resident after it", "MiB", bed.resident_mib()?);
        put("down", "ms", bed.remove()?.as_secs_f64() * 1e3);
    }
    Ok(())
}
