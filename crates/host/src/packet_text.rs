//! Packets as people write them: `tcp 10.0.1.4:40000 -> 10.0.2.4:443`, `icmp 10.0.1.4 -> 10.0.2.4`.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use flow::{FlowKey, PortId};
use vswitch::Probe;

/// Why a text is no packet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "packet `{text}`: {problem}; write it as `tcp 10.0.1.4:40000 -> 10.0.2.4:443`, `udp …`, or `icmp|esp|ah 10.0.1.4 -> 10.0.2.4`, IPv6 with a port as `[fd00::4]:443`"
)]
pub struct PacketTextError {
    text: String,
    problem: String,
}

/// Reads a packet that the NIC behind `port` would send. TCP means the segment that opens.
pub fn parse(text: &str, port: PortId) -> Result<Probe, PacketTextError> {
    let error = |problem: String| PacketTextError {
        text: text.to_owned(),
        problem,
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let &[protocol, src, arrow, dst] = words.as_slice() else {
        return Err(error(format!("found {} words, not 4", words.len())));
    };
    if arrow != "->" {
        return Err(error(format!("found `{arrow}` where `->` belongs")));
    }
    let protocol = protocol.to_ascii_lowercase();
    let key = match protocol.as_str() {
        "tcp" | "udp" => {
            let src: SocketAddr = end(src).map_err(&error)?;
            let dst: SocketAddr = end(dst).map_err(&error)?;
            same_family(src.ip(), dst.ip()).map_err(&error)?;
            let number = if protocol == "tcp" { 6 } else { 17 };
            FlowKey::new(port, src.ip(), dst.ip(), number, src.port(), dst.port())
        }
        "icmp" | "icmpv6" | "esp" | "ah" => {
            let src: IpAddr = end(src).map_err(&error)?;
            let dst: IpAddr = end(dst).map_err(&error)?;
            same_family(src, dst).map_err(&error)?;
            let (number, kind) = match (protocol.as_str(), src.is_ipv4()) {
                ("esp", _) => (50, 0),
                ("ah", _) => (51, 0),
                (_, true) => (1, ECHO_REQUEST_V4),
                (_, false) => (58, ECHO_REQUEST_V6),
            };
            FlowKey::new(port, src, dst, number, 0, kind)
        }
        other => {
            return Err(error(format!(
                "found protocol `{other}`; known are tcp, udp, icmp, esp, ah"
            )));
        }
    };
    Ok(Probe { key, opens: true })
}

const ECHO_REQUEST_V4: u16 = 8 << 8;
const ECHO_REQUEST_V6: u16 = 128 << 8;

fn end<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is no address of that kind"))
}

fn same_family(src: IpAddr, dst: IpAddr) -> Result<(), String> {
    if src.is_ipv4() == dst.is_ipv4() {
        Ok(())
    } else {
        Err(format!("`{src}` and `{dst}` are of different families"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_read() {
        for text in [
            "tcp 10.0.1.4:40000 -> 10.0.2.4:443",
            "udp [fd00::4]:53 -> [fd00::5]:1",
            "esp 10.0.0.4 -> 10.0.0.5",
        ] {
            let probe = parse(text, PortId(3)).expect(text);
            assert_eq!(probe.key.to_string(), text);
        }
    }

    #[test]
    fn errors_say_what_was_found() {
        for (text, found) in [
            ("tcp 10.0.1.4 -> 10.0.2.4:443", "`10.0.1.4` is no address"),
            ("tcp 10.0.1.4:1 to 10.0.2.4:443", "found `to`"),
            ("sctp 10.0.1.4:1 -> 10.0.2.4:443", "found protocol `sctp`"),
            ("icmp 10.0.1.4 -> fd00::1", "different families"),
            ("tcp", "found 1 words"),
        ] {
            let error = parse(text, PortId(3)).expect_err(text).to_string();
            assert!(error.contains(found), "{error}");
        }
    }
}
