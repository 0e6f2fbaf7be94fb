//! Whether a request may be made now.

use std::os::fd::OwnedFd;

use super::ring::Ring;
use super::{Needs, Refusal, Session};
use crate::features::{NetFeatures, ProtocolFeatures};
use crate::protocol::{Code, Request};

impl Session {
    /// Whether a request may be made now, and which queues it needs back first.
    pub(super) fn check(&self, request: &Request<OwnedFd>) -> Result<Needs, Refusal> {
        if let Request::Unsupported(code) = request {
            return Err(Refusal::Unsupported(*code));
        }
        self.check_negotiated(request.code())?;
        Ok(match request {
            Request::SetVringNum { index, .. } | Request::SetVringBase { index, .. } => {
                let index = self.known(*index)?;
                if self.rings[usize::from(index)].is_running() {
                    return Err(Refusal::RingRunning(index));
                }
                Needs::None
            }
            Request::SetVringEnable { index, .. } => self.known(*index).map(|_| Needs::None)?,
            Request::SetVringKick(fd) | Request::SetVringCall(fd) | Request::SetVringErr(fd) => {
                self.known(u32::from(fd.index)).map(|_| Needs::None)?
            }
            Request::SetVringAddr(addresses) => Needs::One(self.known(addresses.index)?),
            Request::GetVringBase { index } => Needs::One(self.known(*index)?),
            Request::SetFeatures(features) => self.check_features(NetFeatures(*features))?,
            Request::SetProtocolFeatures(features) => {
                let unknown = ProtocolFeatures(*features).without(ProtocolFeatures::SUPPORTED);
                if unknown != ProtocolFeatures::default() {
                    return Err(Refusal::ProtocolFeatures(unknown));
                }
                Needs::None
            }
            Request::GetInflightFd(_) | Request::SetInflightFd(..) => {
                let running = (0..).zip(&self.rings).find(|(_, ring)| ring.is_running());
                match running {
                    Some((index, _)) => return Err(Refusal::RingRunning(index)),
                    None => Needs::None,
                }
            }
            Request::SetMemTable(_)
            | Request::AddMemReg(_)
            | Request::RemMemReg(_)
            | Request::SetLogBase(..)
            | Request::ResetDevice
            | Request::SetStatus(0) => Needs::All,
            _ => Needs::None,
        })
    }

    /// The number of a ring that the device has.
    pub(super) fn known(&self, index: u32) -> Result<u16, Refusal> {
        let known = u16::try_from(index).ok();
        let known = known.filter(|index| *index < self.config.rings());
        known.ok_or(Refusal::RingUnknown(index))
    }

    fn check_negotiated(&self, code: Code) -> Result<(), Refusal> {
        let feature = match code {
            Code::GET_QUEUE_NUM => ProtocolFeatures::MQ,
            Code::SET_LOG_BASE | Code::SET_LOG_FD => ProtocolFeatures::LOG_SHMFD,
            Code::SEND_RARP => ProtocolFeatures::RARP,
            Code::NET_SET_MTU => ProtocolFeatures::MTU,
            Code::SET_BACKEND_REQ_FD => ProtocolFeatures::BACKEND_REQ,
            Code::GET_CONFIG | Code::SET_CONFIG => ProtocolFeatures::CONFIG,
            Code::GET_INFLIGHT_FD | Code::SET_INFLIGHT_FD => ProtocolFeatures::INFLIGHT_SHMFD,
            Code::RESET_DEVICE => ProtocolFeatures::RESET_DEVICE,
            Code::GET_MAX_MEM_SLOTS | Code::ADD_MEM_REG | Code::REM_MEM_REG => {
                ProtocolFeatures::CONFIGURE_MEM_SLOTS
            }
            Code::GET_STATUS | Code::SET_STATUS => ProtocolFeatures::STATUS,
            _ => return Ok(()),
        };
        if self.protocol.has(feature) {
            Ok(())
        } else {
            Err(Refusal::NotNegotiated { code, feature })
        }
    }

    fn check_features(&self, features: NetFeatures) -> Result<Needs, Refusal> {
        let unknown = features.without(self.config.offered);
        if unknown != NetFeatures::default() {
            return Err(Refusal::Features(unknown));
        }
        let before = self.features.unwrap_or_default();
        let changed = NetFeatures(before.0 ^ features.0);
        if changed == NetFeatures::default() {
            return Ok(Needs::None);
        }
        let beyond_log = changed.without(NetFeatures::LOG_ALL);
        if beyond_log != NetFeatures::default() && self.rings.iter().any(Ring::is_running) {
            return Err(Refusal::FeaturesFixed(beyond_log));
        }
        Ok(Needs::All)
    }
}
