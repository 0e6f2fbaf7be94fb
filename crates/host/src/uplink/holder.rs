//! Who has a UDP port that was to be ours.

use std::fs;
use std::net::SocketAddr;

use crate::guest::HostNetwork;

impl HostNetwork {
    /// Says who holds a UDP port of an address, as far as that can be found out.
    pub(crate) async fn udp_port_holder(&self, wanted: SocketAddr) -> String {
        // A VXLAN device's socket is the kernel's own, and in no table.
        let links = self.netlink().links().await.unwrap_or_default();
        let device = links
            .into_iter()
            .find(|link| link.vxlan_port == Some(wanted.port()));
        if let Some(device) = device {
            return format!("VXLAN device `{}`", device.name);
        }
        let process = ["udp", "udp6"].iter().find_map(|table| {
            let text = fs::read_to_string(format!("/proc/thread-self/net/{table}")).ok()?;
            let inodes = inodes_of(&text, wanted.port());
            inodes.iter().find_map(|inode| process_with(inode))
        });
        process.unwrap_or_else(|| "another program".to_owned())
    }
}

/// The sockets bound to a port (proc(5), `/proc/net/udp`: the second column is `ADDRESS:PORT` in
/// hexadecimal, the tenth the inode).
fn inodes_of(table: &str, port: u16) -> Vec<String> {
    let rows = table.lines().skip(1);
    let sockets = rows.filter_map(|row| {
        let columns: Vec<&str> = row.split_whitespace().collect();
        let (_, bound) = columns.get(1)?.rsplit_once(':')?;
        let inode = columns.get(9).filter(|inode| **inode != "0")?;
        (u16::from_str_radix(bound, 16) == Ok(port)).then(|| (*inode).to_owned())
    });
    sockets.collect()
}

fn process_with(inode: &str) -> Option<String> {
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut numbered = processes.filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((pid, entry.path()))
    });
    let holds = |path: &std::path::Path| {
        // A process that has just ended has nothing open.
        let open = fs::read_dir(path.join("fd"))
            .into_iter()
            .flatten()
            .flatten();
        let mut targets = open.filter_map(|entry| fs::read_link(entry.path()).ok());
        targets.any(|target| target.to_str() == Some(&wanted))
    };
    let (pid, path) = numbered.find(|(_, path)| holds(path))?;
    let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
    Some(format!("process `{}` (pid {pid})", name.trim()))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn a_socket_of_this_process_is_found() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let port = socket.local_addr().expect("bound").port();
        let table = fs::read_to_string("/proc/thread-self/net/udp").expect("readable");
        let inodes = inodes_of(&table, port);
        assert_eq!(inodes.len(), 1, "{table}");
        let found = process_with(&inodes[0]).expect("a process");
        assert!(
            found.ends_with(&format!("(pid {})", std::process::id())),
            "{found}"
        );
    }

    #[test]
    fn what_has_no_process_is_left_out() {
        let table = "  sl  local_address rem_address st\n 1: 0100007F:12B5 00000000:0000 07 \
                     00000000:00000000 00:00000000 00000000 0 0 0 2 0 0\n";
        assert!(inodes_of(table, 4789).is_empty());
        assert!(process_with("0").is_none());
    }
}
