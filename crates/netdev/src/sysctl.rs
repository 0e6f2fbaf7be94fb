//! The settings below `/proc/sys/net` of one namespace.
//!
//! `/proc/sys/net` shows each thread the values of the namespace the thread is in, so every access
//! goes through [`Namespace::run_in`].

use std::{fmt, fs, io};

use crate::{
    error::{Context, Error},
    name::LinkName,
    netns::Namespace,
};

/// Which links a setting is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// All links, or the namespace as a whole; what that means differs from setting to setting
    /// (Linux `Documentation/networking/ip-sysctl.rst`).
    All,
    /// Links that are made later.
    Default,
    /// One link.
    Link(&'a LinkName),
}

/// A setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting<'a> {
    /// `net.ipv4.ip_forward`: 1 forwards IPv4 packets between links.
    Ipv4Forward,
    /// `net.ipv6.conf.*.forwarding`: 1 forwards IPv6 packets between links.
    Ipv6Forwarding(Scope<'a>),
    /// `net.ipv6.conf.*.disable_ipv6`: 1 takes IPv6 away.
    DisableIpv6(Scope<'a>),
    /// `net.ipv6.conf.*.addr_gen_mode`: 0 makes link-local addresses from the MAC, 1 none,
    /// 2 and 3 from a secret.
    AddrGenMode(Scope<'a>),
    /// `net.ipv6.conf.*.accept_ra`: 0 ignores router advertisements, 1 accepts them unless
    /// forwarding, 2 always.
    AcceptRa(Scope<'a>),
    /// `net.ipv6.conf.*.accept_dad`: 0 detects no duplicate addresses, 1 does, 2 also disables
    /// IPv6 on finding one.
    AcceptDad(Scope<'a>),
    /// `net.ipv4.conf.*.rp_filter`: 0 checks no source address, 1 strictly, 2 loosely.
    RpFilter(Scope<'a>),
    /// `net.ipv4.conf.*.send_redirects`: 1 tells senders of a shorter way. Off only if it is off
    /// for the link and for all.
    SendRedirects(Scope<'a>),
}

/// Reads a setting of `namespace`.
///
/// # Errors
/// [`Error::is_missing`] if there is no such link, or the kernel has no such setting.
pub fn read(namespace: &Namespace, setting: Setting<'_>) -> Result<u32, Error> {
    let path = setting.to_string();
    let text = namespace.run_in(|| fs::read_to_string(&path)).flatten();
    let number = text.and_then(|text| text.trim().parse().map_err(io::Error::other));
    number.context(
        format!("{path} of namespace {}", namespace.label()),
        "read it",
    )
}

/// Sets several settings of `namespace` in order, stopping at the first that is refused.
///
/// # Errors
/// [`Error::is_missing`] if there is no such link, or the kernel has no such setting.
pub fn write(namespace: &Namespace, settings: &[(Setting<'_>, u32)]) -> Result<(), Error> {
    let label = namespace.label();
    let all = || {
        settings.iter().try_for_each(|(setting, value)| {
            fs::write(setting.to_string(), value.to_string())
                .context(format!("{setting} of namespace {label}"), "set it")
        })
    };
    namespace
        .run_in(all)
        .context(format!("namespace {label}"), "enter it")?
}

impl fmt::Display for Setting<'_> {
    /// The path of the setting's file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (family, scope, name) = match *self {
            Self::Ipv4Forward => return f.write_str("/proc/sys/net/ipv4/ip_forward"),
            Self::Ipv6Forwarding(scope) => ("ipv6", scope, "forwarding"),
            Self::DisableIpv6(scope) => ("ipv6", scope, "disable_ipv6"),
            Self::AddrGenMode(scope) => ("ipv6", scope, "addr_gen_mode"),
            Self::AcceptRa(scope) => ("ipv6", scope, "accept_ra"),
            Self::AcceptDad(scope) => ("ipv6", scope, "accept_dad"),
            Self::RpFilter(scope) => ("ipv4", scope, "rp_filter"),
            Self::SendRedirects(scope) => ("ipv4", scope, "send_redirects"),
        };
        let scope = match scope {
            Scope::All => "all",
            Scope::Default => "default",
            Scope::Link(link) => link.as_str(),
        };
        write!(f, "/proc/sys/net/{family}/conf/{scope}/{name}")
    }
}

#[cfg(test)]
mod tests;
