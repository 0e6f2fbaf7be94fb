//! Numbers and times as people read them. JSON has them as they are.

use jiff::{SignedDuration, Timestamp};

const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// `1,234,567`.
pub(crate) fn count(number: impl Into<u64>) -> String {
    let digits = number.into().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count of what the machine can hold.
pub(crate) fn count_usize(number: usize) -> String {
    // On every target of ours a usize fits.
    count(u64::try_from(number).unwrap_or(u64::MAX))
}

/// `512 B`, `1.5 MiB`.
pub(crate) fn bytes(number: u64) -> String {
    let Some(power) = number
        .checked_ilog2()
        .map(|log| log / 10)
        .filter(|&power| power > 0)
    else {
        return format!("{number} B");
    };
    let unit = UNITS[power as usize - 1];
    let tenths = (u128::from(number) * 10) >> (10 * power);
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// `1 frame`, `2 frames`.
pub(crate) fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count_usize(number))
}

/// `350 ms`, `12 s`, `3 min 5 s`, `2 h 10 min`, `5 d 3 h`.
pub(crate) fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0 => format!("{milliseconds} ms"),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// `2026-11-21T01:02:03Z, 3 min 5 s ago`. A clock that was set back shows no age.
pub(crate) fn since(then: Timestamp, now: Timestamp) -> String {
    let stamp = then.strftime("%Y-%m-%dT%H:%M:%SZ");
    let age: SignedDuration = now.duration_since(then);
    match u64::try_from(age.as_millis()) {
        Ok(age) => format!("{stamp}, {} ago", duration(age)),
        Err(_) => stamp.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_go_by_threes() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(number as u32), text);
        }
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn bytes_have_the_unit_they_reach() {
        for (number, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (1 << 20, "1.0 MiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn durations_keep_two_units() {
        for (milliseconds, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (59_999, "59 s"),
            (185_000, "3 min 5 s"),
            (7_800_000, "2 h 10 min"),
            (442_800_000, "5 d 3 h"),
        ] {
            assert_eq!(duration(milliseconds), text);
        }
    }

    #[test]
    fn a_time_to_come_has_no_age() {
        let then: Timestamp = "2026-11-21T01:02:03Z".parse().expect("a time");
        let later: Timestamp = "2026-11-21T01:02:15Z".parse().expect("a time");
        assert_eq!(since(then, later), "2026-11-21T01:02:03Z, 12 s ago");
        assert_eq!(since(later, then), "2026-11-21T01:02:15Z");
    }
}
