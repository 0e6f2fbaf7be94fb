//! The small values: prefixes, addresses, ports, durations.

use std::net::IpAddr;

use ipnet::IpNet;
use wire::MacAddr;

use super::extract::Cursor;
use crate::diagnostics::{Code, Sink};
use crate::place::At;
use crate::topology::PortRange;
use crate::validate::limits::TIMEOUT_MS_MAX;

pub(super) fn prefix(cursor: &Cursor<'_>, sink: &mut Sink) -> Option<At<IpNet>> {
    cursor.scalar(
        "a prefix like 10.0.1.0/24 or fd00:1::/64",
        sink,
        parse_prefix,
    )
}

pub(super) fn prefixes(cursors: Vec<Cursor<'_>>, sink: &mut Sink) -> Vec<At<IpNet>> {
    cursors
        .iter()
        .filter_map(|cursor| prefix(cursor, sink))
        .collect()
}

/// The prefixes of something that must have one.
pub(super) fn some_prefixes(cursor: Option<Cursor<'_>>, sink: &mut Sink) -> Vec<At<IpNet>> {
    let Some(cursor) = cursor else {
        return Vec::new();
    };
    let items = cursor.one_or_many();
    if items.is_empty() {
        sink.error(
            &cursor.place(),
            Code::BadValue,
            "an empty list; one prefix is the least",
        );
    }
    prefixes(items, sink)
}

pub(super) fn address(cursor: &Cursor<'_>, sink: &mut Sink) -> Option<At<IpAddr>> {
    cursor.scalar("an IP address like 10.0.1.4 or fd00:1::4", sink, |text| {
        text.parse().map_err(|_| String::new())
    })
}

pub(super) fn mac(cursor: &Cursor<'_>, sink: &mut Sink) -> Option<At<MacAddr>> {
    cursor.scalar(
        "a unicast Ethernet address like 02:00:5e:10:00:01",
        sink,
        |text| {
            let mac: MacAddr = text.parse().map_err(|_| String::new())?;
            if mac.is_multicast() || mac.0 == [0; 6] {
                return Err(
                    "the lowest bit of the first byte must be 0, and not all be 0".to_owned(),
                );
            }
            Ok(mac)
        },
    )
}

/// A name that refers to something.
pub(super) fn names(cursors: Vec<Cursor<'_>>, what: &str, sink: &mut Sink) -> Vec<At<String>> {
    cursors
        .iter()
        .filter_map(|cursor| cursor.text(what, sink))
        .collect()
}

/// A prefix, or an address as the prefix of itself. Bits after the length are refused: whoever
/// wrote them meant something else.
pub(super) fn parse_prefix(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    let prefix: IpNet = text.parse().map_err(|_| String::new())?;
    let whole = prefix.trunc();
    if whole == prefix {
        Ok(prefix)
    } else {
        Err(format!(
            "the address has bits beyond the prefix length: {whole}?"
        ))
    }
}

/// Ports of one side; empty means any.
pub(super) fn ports(cursors: Vec<Cursor<'_>>, sink: &mut Sink) -> Vec<PortRange> {
    let expected = "a port, a range like 8000-8080, or \"*\"";
    let mut ranges = Vec::with_capacity(cursors.len());
    let mut any = false;
    for cursor in &cursors {
        match cursor.value(expected, sink, parse_ports) {
            Some(Some(range)) => ranges.push(range),
            Some(None) => any = true,
            None => {}
        }
    }
    // With a star among them the others say nothing more.
    if any {
        ranges.clear();
    }
    ranges
}

/// `None` is all of them.
fn parse_ports(text: &str) -> Result<Option<PortRange>, String> {
    if is_any(text) {
        return Ok(None);
    }
    let port = |text: &str| text.trim().parse::<u16>().map_err(|_| String::new());
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(text)?, port(text)?),
    };
    if first > last {
        return Err(format!(
            "the first port comes after the last: {last}-{first}?"
        ));
    }
    Ok(Some(PortRange { first, last }))
}

/// The word for everything. A bare asterisk is YAML's sign of an alias, so there is a word too.
pub(super) fn is_any(text: &str) -> bool {
    text == "*" || text.eq_ignore_ascii_case("any")
}

/// A duration in milliseconds: a number of seconds, or one with its unit.
pub(super) fn duration_ms(cursor: &Cursor<'_>, sink: &mut Sink) -> Option<u64> {
    let expected = "a duration from 1ms to 30d: seconds, or a number with ms, s, m, h or d";
    cursor.value(expected, sink, |text| {
        parse_duration(text).ok_or_else(String::new)
    })
}

fn parse_duration(text: &str) -> Option<u64> {
    let unit = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit);
    let scale: u64 = match unit {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let (whole, fraction) = digits.trim().split_once('.').unwrap_or((digits.trim(), ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(scale)?;
    let exponent = u32::try_from(fraction.len()).ok()?;
    let part = if fraction.is_empty() {
        0
    } else {
        fraction.parse::<u64>().ok()?
    };
    let ms = whole.checked_add(part * scale / 10u64.pow(exponent))?;
    (1..=TIMEOUT_MS_MAX).contains(&ms).then_some(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_and_bounds() {
        let cases = [
            ("5", Some(5_000)),
            ("0.25", Some(250)),
            ("1.5m", Some(90_000)),
            ("100ms", Some(100)),
            ("2h", Some(7_200_000)),
            ("30d", Some(TIMEOUT_MS_MAX)),
            ("31d", None),
            ("0", None),
            ("-1", None),
            ("1e3", None),
            ("5 parsecs", None),
            ("99999999999999999999", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }

    #[test]
    fn a_port_range_is_in_order() {
        assert_eq!(
            parse_ports("80-90"),
            Ok(Some(PortRange {
                first: 80,
                last: 90
            }))
        );
        assert_eq!(
            parse_ports("443"),
            Ok(Some(PortRange {
                first: 443,
                last: 443
            }))
        );
        assert_eq!(parse_ports("Any"), Ok(None));
        assert!(parse_ports("90-80").is_err_and(|help| help.contains("80-90")));
        assert!(parse_ports("70000").is_err() && parse_ports("80,443").is_err());
    }
}
