//! Commands on a control queue (virtio 1.2, 5.1.6.5), where the VMM leaves it to the back end.
//!
//! QEMU, Cloud Hypervisor and DPDK keep the control queue to themselves and tell a back end about queue
//! pairs by `SET_VRING_ENABLE`. A front end that passes it on has its commands read here.

use crate::features::NetFeatures;

/// Most MAC addresses in a filter table; a longer one is refused, and the driver falls back to
/// promiscuous mode.
pub const MAC_TABLE_MAX: usize = 256;

/// What a driver asks for. All of it is advice about what it wants to receive: what it may receive, and
/// send, is the policy's to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Use this many queue pairs.
    QueuePairs(u16),
    /// A receive mode goes on or off.
    Receive(ReceiveMode, bool),
    /// Receive frames to these addresses.
    MacTable {
        /// Unicast addresses.
        unicast: Vec<[u8; 6]>,
        /// Multicast addresses.
        multicast: Vec<[u8; 6]>,
    },
    /// Use this MAC address.
    MacAddress([u8; 6]),
    /// Receive frames of this VLAN.
    VlanAdd(u16),
    /// No longer receive frames of this VLAN.
    VlanRemove(u16),
    /// The driver has announced itself.
    Announced,
}

/// A receive mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiveMode {
    /// Every frame.
    Promiscuous,
    /// Every multicast frame.
    AllMulticast,
    /// Every unicast frame.
    AllUnicast,
    /// No multicast frame.
    NoMulticast,
    /// No unicast frame.
    NoUnicast,
    /// No broadcast frame.
    NoBroadcast,
}

/// What the device writes into the command's last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// Done.
    Ok = 0,
    /// Refused.
    Err = 1,
}

/// Why a command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// A class or command that has no meaning here.
    #[error("control command {class}.{command} unknown")]
    Unknown {
        /// Its class.
        class: u8,
        /// Its number in the class.
        command: u8,
    },
    /// A command whose feature was not negotiated.
    #[error("control command {class}.{command} without its feature")]
    NotNegotiated {
        /// Its class.
        class: u8,
        /// Its number in the class.
        command: u8,
    },
    /// Too few or too many bytes, or more table entries than [`MAC_TABLE_MAX`].
    #[error("control command of {0} bytes")]
    Length(usize),
    /// A value without meaning, such as zero queue pairs.
    #[error("control command with value {0:#x}")]
    Value(u16),
}

impl Command {
    /// Reads a command: class, number and what belongs to it, without the byte for the [`Ack`].
    /// `pairs_max` is how many queue pairs the device has.
    ///
    /// # Errors
    /// What [`CommandError`] lists.
    pub fn parse(
        bytes: &[u8],
        negotiated: NetFeatures,
        pairs_max: u16,
    ) -> Result<Self, CommandError> {
        let [class, command, rest @ ..] = bytes else {
            return Err(CommandError::Length(bytes.len()));
        };
        let (class, command) = (*class, *command);
        let needed = match class {
            0 => NetFeatures::CTRL_RX,
            1 if command == 1 => NetFeatures::CTRL_MAC_ADDR,
            1 => NetFeatures::CTRL_RX,
            2 => NetFeatures::CTRL_VLAN,
            3 => NetFeatures::GUEST_ANNOUNCE,
            4 => NetFeatures::MQ,
            _ => return Err(CommandError::Unknown { class, command }),
        };
        if !negotiated.has(needed) {
            return Err(CommandError::NotNegotiated { class, command });
        }
        let length = CommandError::Length(bytes.len());
        let number = || match rest {
            [low, high] => Ok(u16::from_le_bytes([*low, *high])),
            _ => Err(length),
        };
        match (class, command) {
            (0, _) => receive_mode(command, rest, length),
            (1, 0) => mac_table(rest).ok_or(length),
            (1, 1) => rest.try_into().map(Self::MacAddress).map_err(|_| length),
            (2, 0) => vlan(number()?).map(Self::VlanAdd),
            (2, 1) => vlan(number()?).map(Self::VlanRemove),
            (3, 0) if rest.is_empty() => Ok(Self::Announced),
            (3, 0) => Err(length),
            (4, 0) => match number()? {
                pairs if (1..=pairs_max).contains(&pairs) => Ok(Self::QueuePairs(pairs)),
                pairs => Err(CommandError::Value(pairs)),
            },
            _ => Err(CommandError::Unknown { class, command }),
        }
    }
}

fn receive_mode(command: u8, rest: &[u8], length: CommandError) -> Result<Command, CommandError> {
    let mode = match command {
        0 => ReceiveMode::Promiscuous,
        1 => ReceiveMode::AllMulticast,
        2 => ReceiveMode::AllUnicast,
        3 => ReceiveMode::NoMulticast,
        4 => ReceiveMode::NoUnicast,
        5 => ReceiveMode::NoBroadcast,
        _ => return Err(CommandError::Unknown { class: 0, command }),
    };
    match rest {
        [0] => Ok(Command::Receive(mode, false)),
        [1] => Ok(Command::Receive(mode, true)),
        [other] => Err(CommandError::Value(u16::from(*other))),
        _ => Err(length),
    }
}

fn vlan(id: u16) -> Result<u16, CommandError> {
    if id < 4096 {
        Ok(id)
    } else {
        Err(CommandError::Value(id))
    }
}

/// Two tables, each a count of 32 bits and as many addresses.
fn mac_table(bytes: &[u8]) -> Option<Command> {
    let (unicast, rest) = addresses(bytes)?;
    let (multicast, rest) = addresses(rest)?;
    rest.is_empty()
        .then_some(Command::MacTable { unicast, multicast })
}

fn addresses(bytes: &[u8]) -> Option<(Vec<[u8; 6]>, &[u8])> {
    let (count, rest) = bytes.split_first_chunk()?;
    let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
    if count > MAC_TABLE_MAX {
        return None;
    }
    let (table, rest) = rest.split_at_checked(count * 6)?;
    let (table, _) = table.as_chunks();
    Some((table.to_vec(), rest))
}

#[cfg(test)]
mod tests;
