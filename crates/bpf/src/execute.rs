//! [`FlowEngine`] over the flow map.

use std::sync::atomic::Ordering::{Relaxed, Release};

use flow::{
    Counters, EngineCounters, FlowEngine, FlowKey, FlowPair, Half, InstallError, PortId, PortMode,
    Refusal, Stamp, TcpFlags, Verdict,
};

use crate::BpfEngine;
use crate::abi::{FlowValue, Unencodable};

/// Entries that are read and written back together. Short, for what the kernel counts between the
/// two is lost.
const EDITS: usize = 64;

/// What is to be written, and which pair each element belongs to.
#[derive(Default)]
struct Writes {
    keys: Vec<FlowKey>,
    values: Vec<FlowValue>,
    pairs: Vec<usize>,
}

impl FlowEngine for BpfEngine {
    fn name(&self) -> &'static str {
        "bpf"
    }

    fn install(&mut self, pairs: &[FlowPair], refused: &mut Vec<InstallError>) {
        let mut writes = Writes::default();
        for (index, pair) in pairs.iter().enumerate() {
            match self.encode(pair) {
                Ok(elements) => writes.extend(index, elements),
                Err(error) => refused.push(self.withdraw(pair, error)),
            }
        }
        let mut from = 0;
        while let Err(stopped) = self
            .maps
            .flows
            .update_all(&writes.keys[from..], &writes.values[from..])
        {
            let at = from + stopped.done;
            let index = writes.pairs[at];
            let refusal = refusal(&stopped.error);
            let error = InstallError {
                key: writes.keys[at],
                refusal,
            };
            refused.push(self.withdraw(&pairs[index], error));
            from = at
                + writes.pairs[at..]
                    .iter()
                    .take_while(|&&pair| pair == index)
                    .count();
        }
    }

    /// One store, whatever the number of keys.
    fn activate(&mut self, _keys: &[FlowKey]) {
        match self.maps.agent() {
            // What the kernel was told before, it finds before.
            Ok(agent) => agent.activated.store(self.batch, Release),
            Err(error) => tracing::warn!(%error, "flows not activated"),
        }
        self.batch += 1;
    }

    fn remove(&mut self, keys: &[FlowKey], last: &mut Vec<EngineCounters>) {
        for &key in keys {
            match self.maps.flows.take(&key) {
                Ok(Some(value)) => last.push(EngineCounters {
                    key,
                    counters: value.counters(),
                }),
                Ok(None) => {}
                Err(error) => tracing::warn!(%key, %error, "flow not removed"),
            }
        }
    }

    /// Between reading an entry and writing it back, a few microseconds, a frame may be counted in
    /// the value that is being replaced; then that frame is missing from the counters.
    fn restamp(&mut self, stamps: &[(FlowKey, Stamp)]) {
        self.edit(stamps.iter().copied(), |stamp, value| {
            let restamped = value.restamp(stamp);
            restamped.is_ok()
        });
    }

    /// What [`FlowEngine::restamp`] says of counters holds here too, for entries on the accelerated
    /// path; what a synthetic port sends is not counted here.
    fn note_flags(&mut self, seen: &[(FlowKey, TcpFlags)]) {
        self.edit(seen.iter().copied(), |flags, value| value.note_flags(flags));
    }

    fn read(&mut self, keys: &[FlowKey], counters: &mut Vec<EngineCounters>) {
        for &key in keys {
            match self.maps.flows.lookup(&key) {
                Ok(Some(value)) => {
                    counters.push(EngineCounters {
                        key,
                        counters: value.counters(),
                    });
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%key, %error, "flow not read"),
            }
        }
    }

    fn dump(&mut self, visit: &mut dyn FnMut(&Half, &Counters, bool)) {
        let activated = match self.maps.agent() {
            Ok(agent) => agent.activated.load(Relaxed),
            Err(error) => return tracing::warn!(%error, "flows not shown"),
        };
        let mut useless = Vec::new();
        let walked = self.maps.flows.for_each(|key, value| {
            let half = value.decode(key, &self.uplink);
            match half.filter(|_| !self.maps.is_disowned(key, value)) {
                Some(half) => visit(&half, &value.counters(), value.batch() <= activated),
                None => useless.push(*key),
            }
        });
        if let Err(error) = walked {
            tracing::warn!(%error, "flows not shown to the end");
        }
        // Nobody would ever own them.
        self.remove(&useless, &mut Vec::new());
    }

    fn set_mode(&mut self, port: PortId, mode: PortMode) -> Result<(), Refusal> {
        let is_attached = match port {
            PortId::UPLINK => self.uplink_device().is_some(),
            _ => self.devices.contains_key(&port),
        };
        if !is_attached {
            return Err(Refusal::NoDevice);
        }
        let entry = self
            .maps
            .port(port)
            .map_err(|error| refusal(&error.source))?;
        entry.set_mode(mode);
        Ok(())
    }
}

impl BpfEngine {
    fn encode(&self, pair: &FlowPair) -> Result<Vec<(FlowKey, FlowValue)>, InstallError> {
        let halves = std::iter::once(&pair.forward).chain(&pair.reverse);
        halves
            .map(|half| {
                let value = self.encode_half(half);
                value
                    .map_err(|refusal| InstallError {
                        key: half.key,
                        refusal,
                    })
                    .map(|value| (half.key, value))
            })
            .collect()
    }

    fn encode_half(&self, half: &Half) -> Result<FlowValue, Refusal> {
        match half.transposition.verdict {
            Verdict::Drop(_) => {}
            Verdict::Deliver(port) if self.devices.contains_key(&port) => {}
            Verdict::Deliver(_) => return Err(Refusal::NoDevice),
            Verdict::Uplink if self.is_from_here(half) => {}
            Verdict::Uplink => return Err(Refusal::Encapsulation),
        }
        FlowValue::encode(half, self.batch).map_err(|reason| match reason {
            Unencodable::MappingSlot => Refusal::System(libc::ERANGE),
            Unencodable::Peer => Refusal::System(libc::EINVAL),
            Unencodable::NoEncap => Refusal::Encapsulation,
        })
    }

    /// Whether the outer header is one that this host's uplink pushes.
    fn is_from_here(&self, half: &Half) -> bool {
        let encap = half.transposition.encap.as_ref();
        encap
            .zip(self.uplink_attachment())
            .is_some_and(|(encap, uplink)| {
                encap.outer_src == uplink.address
                    && encap.outer_dst.is_ipv4() == uplink.address.is_ipv4()
                    && encap.dst_port == uplink.vxlan_port
            })
    }

    /// Leaves nothing of a refused pair behind, of an older one with its keys neither.
    fn withdraw(&mut self, pair: &FlowPair, error: InstallError) -> InstallError {
        let reverse = pair.reverse.as_ref().map(|half| half.key);
        for key in std::iter::once(pair.forward.key).chain(reverse) {
            if let Err(error) = self.maps.flows.delete(&key) {
                tracing::warn!(%key, %error, "refused flow not removed");
            }
        }
        error
    }

    /// Reads entries, and writes those back that `edit` says it has changed.
    fn edit<T>(
        &mut self,
        edits: impl Iterator<Item = (FlowKey, T)>,
        mut edit: impl FnMut(T, &mut FlowValue) -> bool,
    ) {
        let (mut changed, mut values) = (Vec::new(), Vec::new());
        for (key, change) in edits {
            match self.maps.flows.lookup(&key) {
                Ok(Some(mut value)) => {
                    if edit(change, &mut value) {
                        changed.push(key);
                        values.push(value);
                    }
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%key, %error, "flow not read"),
            }
            if changed.len() == EDITS {
                self.write_back(&mut changed, &mut values);
            }
        }
        self.write_back(&mut changed, &mut values);
    }

    fn write_back(&mut self, keys: &mut Vec<FlowKey>, values: &mut Vec<FlowValue>) {
        let mut from = 0;
        while let Err(stopped) = self.maps.flows.update_all(&keys[from..], &values[from..]) {
            let at = from + stopped.done;
            tracing::warn!(key = %keys[at], error = %stopped.error, "flow not written");
            from = at + 1;
        }
        keys.clear();
        values.clear();
    }
}

impl Writes {
    fn extend(&mut self, pair: usize, elements: Vec<(FlowKey, FlowValue)>) {
        for (key, value) in elements {
            self.keys.push(key);
            self.values.push(value);
            self.pairs.push(pair);
        }
    }
}

fn refusal(error: &std::io::Error) -> Refusal {
    match error.raw_os_error() {
        Some(libc::E2BIG) => Refusal::TableFull,
        Some(errno) => Refusal::System(errno),
        None => Refusal::System(libc::EIO),
    }
}
