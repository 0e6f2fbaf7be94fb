//! The requests of a front end by number.

use std::fmt;

/// The number of a request from the front end, also of one that has no name here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u32);

macro_rules! codes {
    ($($name:ident = $number:literal,)*) => {
        impl Code {
            $(
                #[doc = concat!("`VHOST_USER_", stringify!($name), "`")]
                pub const $name: Self = Self($number);
            )*

            /// Every request that is understood here.
            pub const KNOWN: &[Self] = &[$(Self::$name,)*];

            /// The name in the specification, without its prefix.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    GET_FEATURES = 1,
    SET_FEATURES = 2,
    SET_OWNER = 3,
    RESET_OWNER = 4,
    SET_MEM_TABLE = 5,
    SET_LOG_BASE = 6,
    SET_LOG_FD = 7,
    SET_VRING_NUM = 8,
    SET_VRING_ADDR = 9,
    SET_VRING_BASE = 10,
    GET_VRING_BASE = 11,
    SET_VRING_KICK = 12,
    SET_VRING_CALL = 13,
    SET_VRING_ERR = 14,
    GET_PROTOCOL_FEATURES = 15,
    SET_PROTOCOL_FEATURES = 16,
    GET_QUEUE_NUM = 17,
    SET_VRING_ENABLE = 18,
    SEND_RARP = 19,
    NET_SET_MTU = 20,
    SET_BACKEND_REQ_FD = 21,
    GET_CONFIG = 24,
    SET_CONFIG = 25,
    GET_INFLIGHT_FD = 31,
    SET_INFLIGHT_FD = 32,
    RESET_DEVICE = 34,
    GET_MAX_MEM_SLOTS = 36,
    ADD_MEM_REG = 37,
    REM_MEM_REG = 38,
    SET_STATUS = 39,
    GET_STATUS = 40,
}

impl Code {
    /// Whether the request has a reply of its own, whatever `need_reply` says.
    #[must_use]
    pub fn has_reply(self) -> bool {
        matches!(
            self,
            Self::GET_FEATURES
                | Self::SET_LOG_BASE
                | Self::GET_VRING_BASE
                | Self::GET_PROTOCOL_FEATURES
                | Self::GET_QUEUE_NUM
                | Self::GET_CONFIG
                | Self::GET_INFLIGHT_FD
                | Self::GET_MAX_MEM_SLOTS
                | Self::GET_STATUS
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "request {}", self.0),
        }
    }
}
