//! The protocol without a socket.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The longest line that is taken from QEMU. Its longest answers, lists of everything it can do, are
/// some hundred kilobytes.
const LINE_MAX: usize = 4 << 20;

/// Events that wait to be taken; the oldest give way, as nobody has asked for them.
const WAITING_MAX: usize = 1_024;

/// Which command a reply belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(u64);

/// What happened by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its name, such as `DEVICE_DELETED`.
    pub name: String,
    /// What QEMU says of it; may be empty.
    pub data: Map<String, Value>,
}

/// QEMU did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("QEMU refused: {description} ({class})")]
pub struct Refusal {
    /// `GenericError`, `DeviceNotFound` and the like.
    pub class: String,
    /// What QEMU says of it.
    pub description: String,
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The session is ready for commands; once, first.
    Ready {
        /// Major, minor and patch level of QEMU.
        version: [u32; 3],
    },
    /// The answer to a command.
    Reply(CommandId, Result<Value, Refusal>),
    /// Something happened.
    Event(Event),
}

/// The other side does not speak QMP.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A line without an end.
    #[error("QMP line longer than {LINE_MAX} bytes")]
    LineTooLong,
    /// Not JSON, or not a message of QMP.
    #[error("QMP message not understood: {0}")]
    Message(String),
    /// The first message was none of a monitor that speaks QMP.
    #[error("QMP greeting missing; the socket is no QMP monitor's")]
    Greeting,
}

/// One connection. Feed it what was read, send what it has to say, take what came.
#[derive(Debug)]
pub struct Session {
    stage: Stage,
    next: u64,
    /// Bytes of a line whose end has not come.
    partial: Vec<u8>,
    output: Vec<u8>,
    incoming: VecDeque<Incoming>,
}

/// How far the opening has come: the greeting, then the answer to `qmp_capabilities`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Greeting,
    Capabilities { version: [u32; 3] },
    Open,
}

/// The opening's own command.
const CAPABILITIES: CommandId = CommandId(0);

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "QMP")]
    greeting: Option<Greeting>,
    #[serde(rename = "return")]
    value: Option<Value>,
    error: Option<ErrorMessage>,
    event: Option<String>,
    #[serde(default)]
    data: Map<String, Value>,
    id: Option<u64>,
}

#[derive(Deserialize)]
struct Greeting {
    version: Version,
}

#[derive(Deserialize)]
struct Version {
    qemu: Triple,
}

#[derive(Deserialize)]
struct Triple {
    major: u32,
    minor: u32,
    micro: u32,
}

#[derive(Deserialize)]
struct ErrorMessage {
    class: String,
    desc: String,
}

impl Default for Session {
    fn default() -> Session {
        Session {
            stage: Stage::Greeting,
            next: CAPABILITIES.0 + 1,
            partial: Vec::new(),
            output: Vec::new(),
            incoming: VecDeque::new(),
        }
    }
}

impl Session {
    /// Whether commands are taken.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    /// Puts a command into the output. It is answered by an [`Incoming::Reply`] with the id.
    pub fn command(&mut self, name: &str, arguments: &Value) -> CommandId {
        let id = CommandId(self.next);
        self.next += 1;
        self.say(id, name, arguments);
        id
    }

    /// What is to be sent, and is taken to have been.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// The next message that came.
    pub fn poll(&mut self) -> Option<Incoming> {
        self.incoming.pop_front()
    }

    /// Takes in bytes as they were read, in pieces of any size.
    ///
    /// # Errors
    /// The other side does not speak QMP; the session is of no use any more.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = (&rest[..end], &rest[end + 1..]);
            if self.partial.is_empty() {
                self.line(line)?;
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                self.line(&whole)?;
            }
            rest = after;
        }
        if self.partial.len() + rest.len() > LINE_MAX {
            return Err(ProtocolError::LineTooLong);
        }
        self.partial.extend_from_slice(rest);
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<(), ProtocolError> {
        if line.len() > LINE_MAX {
            return Err(ProtocolError::LineTooLong);
        }
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let message: Message = match serde_json::from_slice(line) {
            Ok(message) => message,
            Err(_) if self.stage == Stage::Greeting => return Err(ProtocolError::Greeting),
            Err(error) => return Err(ProtocolError::Message(error.to_string())),
        };
        if let Some(name) = message.event {
            return self.keep(Incoming::Event(Event {
                name,
                data: message.data,
            }));
        }
        if let Stage::Greeting = self.stage {
            let Triple {
                major,
                minor,
                micro,
            } = message
                .greeting
                .ok_or(ProtocolError::Greeting)?
                .version
                .qemu;
            let version = [major, minor, micro];
            self.stage = Stage::Capabilities { version };
            self.say(CAPABILITIES, "qmp_capabilities", &json!({}));
            return Ok(());
        }
        let outcome = match (message.value, message.error) {
            (Some(value), None) => Ok(value),
            (None, Some(error)) => Err(Refusal {
                class: error.class,
                description: error.desc,
            }),
            _ => return Err(ProtocolError::Message("neither event nor reply".to_owned())),
        };
        match (self.stage, message.id.map(CommandId), outcome) {
            (Stage::Capabilities { version }, Some(CAPABILITIES), Ok(_)) => {
                self.stage = Stage::Open;
                self.keep(Incoming::Ready { version })
            }
            (Stage::Capabilities { .. }, _, Err(refusal)) => {
                Err(ProtocolError::Message(refusal.to_string()))
            }
            (_, Some(id), outcome) => self.keep(Incoming::Reply(id, outcome)),
            // QEMU answers so what it could not read; every command of ours has an id.
            (_, None, Err(refusal)) => Err(ProtocolError::Message(refusal.to_string())),
            (_, None, Ok(_)) => Err(ProtocolError::Message("reply without an id".to_owned())),
        }
    }

    fn keep(&mut self, incoming: Incoming) -> Result<(), ProtocolError> {
        if self.incoming.len() == WAITING_MAX {
            let is_event = |kept: &Incoming| matches!(kept, Incoming::Event(_));
            let oldest = self.incoming.iter().position(is_event).unwrap_or_default();
            self.incoming.remove(oldest);
        }
        self.incoming.push_back(incoming);
        Ok(())
    }

    fn say(&mut self, id: CommandId, name: &str, arguments: &Value) {
        let mut command = json!({ "execute": name, "id": id.0 });
        if arguments.as_object().is_some_and(|map| !map.is_empty()) {
            command["arguments"] = arguments.clone();
        }
        self.output.extend(command.to_string().into_bytes());
        self.output.push(b'\n');
    }
}

#[cfg(test)]
mod tests;
