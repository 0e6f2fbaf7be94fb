//! Sends UDP packets of which each begins a flow, at a steady rate, from one device.
//!
//! Frames have 60 bytes, the least that Ethernet carries, and go straight to the driver
//! (`PACKET_QDISC_BYPASS`), so that a packet costs its sender as little as it can. Destinations are
//! spread over blocks of equal size: neighbours in time are far from each other in address. Packet
//! number *n* is the same in every run; `--first` lets a run go on where another ended.
//!
//! ```text
//! cargo run --release -p netdev --example new_flows -- --link eth0 \
//!     --source-mac 02:00:00:00:00:01 --next-hop-mac 02:00:00:00:00:02 --source 198.18.0.4 \
//!     --destination 198.19.0.0 --blocks 100 --block-size 64 --port 15000 \
//!     --rate 100000 --seconds 0.5 --first 0
//! ```
//!
//! Prints one line of JSON: `{"sent":50000,"refused":0,"seconds":0.5,"processor":0.5}`. A sender
//! that cannot keep the rate sends what it can and never catches up, for a catching-up burst would be
//! another load. It waits awake, so that less `processor` time than `seconds` says that others had
//! its processor.

use std::collections::HashMap;
use std::error::Error;
use std::hint::spin_loop;
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::time::{Duration, Instant};

use netdev::send::{CHUNK, FrameSender, Queueing, SendBatch};
use netdev::{VNET_HEADER_LEN, VnetHeader};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

type Failure = Box<dyn Error>;

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const UDP: usize = 8;
const FRAME: usize = 60;
const TTL: u8 = 64;
/// Ports below are for services.
const SOURCE_PORT_FIRST: u64 = 1024;
const SOURCE_PORTS: u64 = 64_000;
const RATE_MAX: f64 = 100e6;
const SECONDS_MAX: f64 = 3600.0;

fn main() -> Result<(), Failure> {
    let options = Options::read(std::env::args().skip(1))?;
    if let Some(cpu) = options.optional::<usize>("cpu")? {
        stay_on(cpu)?;
    }
    let link = options.required::<String>("link")?;
    let link_index = std::fs::read_to_string(format!("/sys/class/net/{link}/ifindex"))?
        .trim()
        .parse()?;
    let rate: f64 = options.required("rate")?;
    let seconds: f64 = options.required("seconds")?;
    if !(rate > 0.0 && rate <= RATE_MAX && seconds > 0.0 && seconds <= SECONDS_MAX) {
        return Err("the rate or the time is out of range".into());
    }
    let flows = Flows::new(&options)?;
    let outcome = send(
        &flows,
        link_index,
        rate,
        seconds,
        options.required("first")?,
    )?;
    println!(
        "{{\"sent\":{},\"refused\":{},\"seconds\":{},\"processor\":{}}}",
        outcome.sent, outcome.refused, outcome.seconds, outcome.processor
    );
    Ok(())
}

struct Sent {
    sent: u64,
    /// Frames that the device did not take.
    refused: u64,
    seconds: f64,
    /// Seconds that this process ran.
    processor: f64,
}

/// Sends whole batches until the time is up.
fn send(
    flows: &Flows,
    link_index: u32,
    rate: f64,
    seconds: f64,
    first: u64,
) -> Result<Sent, Failure> {
    let sender = FrameSender::new(Queueing::Bypass)?;
    let mut batch = SendBatch::with_capacity(CHUNK, CHUNK * (FRAME + VNET_HEADER_LEN));
    let vnet: VnetHeader = [0; VNET_HEADER_LEN];
    let interval = Duration::from_secs_f64(CHUNK as f64 / rate);
    let length = Duration::from_secs_f64(seconds);
    let mut frame = flows.template();
    let (mut number, mut sent, mut refused) = (first, 0, 0);
    let ran_before = processor_seconds();
    let begun = Instant::now();
    let mut due = begun;
    loop {
        for _ in 0..CHUNK {
            flows.write(number, &mut frame);
            batch.push(link_index, &vnet, &[&frame])?;
            number += 1;
        }
        let mut now = Instant::now();
        while now < due {
            spin_loop();
            now = Instant::now();
        }
        let report = batch.send(&sender, |_| ());
        sent += u64::from(report.sent);
        refused += u64::from(report.refused());
        due = (due + interval).max(now);
        if due - begun >= length {
            // The last batch lasts until the next one would be due.
            while Instant::now() < due {
                spin_loop();
            }
            return Ok(Sent {
                sent,
                refused,
                seconds: begun.elapsed().as_secs_f64(),
                processor: processor_seconds() - ran_before,
            });
        }
    }
}

/// Which flow the packet of a number begins.
struct Flows {
    macs: [[u8; 6]; 2],
    source: Ipv4Addr,
    destination: u32,
    blocks: u64,
    block_size: u64,
    /// From one packet's block to the next one's; has no divisor in common with `blocks`.
    stride: u64,
    port: u16,
}

impl Flows {
    fn new(options: &Options) -> Result<Self, Failure> {
        let blocks: u32 = options.required("blocks")?;
        let block_size: u32 = options.required("block-size")?;
        let destination: Ipv4Addr = options.required("destination")?;
        let addresses = blocks.checked_mul(block_size).filter(|count| *count > 0);
        let last = addresses.and_then(|count| destination.to_bits().checked_add(count - 1));
        if last.is_none() {
            return Err("there are no or too many destinations".into());
        }
        let macs = [
            options.required::<Mac>("next-hop-mac")?.0,
            options.required::<Mac>("source-mac")?.0,
        ];
        Ok(Self {
            macs,
            source: options.required("source")?,
            destination: destination.to_bits(),
            blocks: blocks.into(),
            block_size: block_size.into(),
            stride: stride(blocks.into()),
            port: options.required("port")?,
        })
    }

    /// All that the frames have in common.
    fn template(&self) -> [u8; FRAME] {
        let mut frame = [0; FRAME];
        frame[..6].copy_from_slice(&self.macs[0]);
        frame[6..12].copy_from_slice(&self.macs[1]);
        frame[12..14].copy_from_slice(&[0x08, 0x00]);
        let ip = &mut frame[ETHERNET..ETHERNET + IPV4];
        ip[0] = 0x45;
        ip[2..4].copy_from_slice(&length(FRAME - ETHERNET));
        ip[8] = TTL;
        ip[9] = 17;
        ip[12..16].copy_from_slice(&self.source.octets());
        let udp = &mut frame[ETHERNET + IPV4..ETHERNET + IPV4 + UDP];
        udp[2..4].copy_from_slice(&self.port.to_be_bytes());
        // No checksum, which IPv4 allows (RFC 768).
        udp[4..6].copy_from_slice(&length(FRAME - ETHERNET - IPV4));
        frame
    }

    /// Makes a frame of the template that of packet `number`.
    fn write(&self, number: u64, frame: &mut [u8; FRAME]) {
        let block = (number % self.blocks) * self.stride % self.blocks;
        let round = number / self.blocks;
        let within = block * self.block_size + round % self.block_size;
        let port = SOURCE_PORT_FIRST + (round / self.block_size) % SOURCE_PORTS;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "below the number of addresses, and below 65,536"
        )]
        let (address, port) = (self.destination + within as u32, port as u16);
        let ip = &mut frame[ETHERNET..];
        ip[16..20].copy_from_slice(&address.to_be_bytes());
        ip[10..12].fill(0);
        let checksum = checksum(&ip[..IPV4]);
        ip[10..12].copy_from_slice(&checksum.to_be_bytes());
        ip[IPV4..IPV4 + 2].copy_from_slice(&port.to_be_bytes());
    }
}

/// About the golden section of `count`, and coprime to it: consecutive multiples lie far apart.
fn stride(count: u64) -> u64 {
    let divisor = |mut a: u64, mut b: u64| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    (count * 618 / 1000 + 1..)
        .find(|stride| divisor(*stride, count) == 1)
        .unwrap_or(1)
}

/// The Internet checksum of a header (RFC 1071).
fn checksum(header: &[u8]) -> u16 {
    let words = header.chunks_exact(2);
    let mut sum: u32 = words
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    #[expect(clippy::cast_possible_truncation, reason = "folded above")]
    let folded = sum as u16;
    !folded
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes()
}

fn processor_seconds() -> f64 {
    let ran = clock_gettime(ClockId::ProcessCPUTime);
    ran.tv_sec as f64 + ran.tv_nsec as f64 * 1e-9
}

fn stay_on(cpu: usize) -> Result<(), Failure> {
    if cpu >= CpuSet::MAX_CPU {
        return Err("there is no such processor".into());
    }
    let mut only = CpuSet::new();
    only.set(cpu);
    Ok(sched_setaffinity(None, &only)?)
}

struct Mac([u8; 6]);

impl FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes: Result<Vec<u8>, _> = text
            .split(':')
            .map(|byte| u8::from_str_radix(byte, 16))
            .collect();
        let bytes = bytes.ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(format!("`{text}` is no MAC address"))
    }
}

/// What the command line says: `--name value`, each once.
struct Options(HashMap<String, String>);

impl Options {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut all = HashMap::new();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").ok_or("options begin with --")?;
            let value = words.next().ok_or(format!("--{name} has no value"))?;
            if all.insert(name.to_owned(), value).is_some() {
                return Err(format!("--{name} is there twice").into());
            }
        }
        Ok(Self(all))
    }

    fn optional<T: FromStr<Err: Into<Failure>>>(&self, name: &str) -> Result<Option<T>, Failure> {
        match self.0.get(name) {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(Into::into),
        }
    }

    fn required<T: FromStr<Err: Into<Failure>>>(&self, name: &str) -> Result<T, Failure> {
        self.optional(name)?
            .ok_or_else(|| format!("--{name} is missing").into())
    }
}
