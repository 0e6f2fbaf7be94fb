use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, netdevice};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::PATIENCE;

/// Runs a command that must succeed.
pub(crate) fn command(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}: {status}");
}

/// A named network namespace, deleted on drop.
pub(crate) struct Namespace {
    pub(crate) name: String,
    /// The namespace of the thread that made this.
    outside: File,
}

impl Namespace {
    pub(crate) fn new(role: &str) -> Namespace {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("bpf-lab-{}-{number}-{role}", std::process::id());
        command("ip", &["netns", "add", &name]);
        let namespace = Namespace {
            name,
            outside: File::open("/proc/thread-self/ns/net").unwrap(),
        };
        namespace.run(|| {
            // Its own chatter would be counted among the tests' frames.
            std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
        });
        namespace
    }

    /// Runs `ip` in the namespace with these words, which must succeed.
    pub(crate) fn ip(&self, words: &str) {
        let arguments = ["-n", &self.name].into_iter().chain(words.split(' '));
        command("ip", &arguments.collect::<Vec<_>>());
    }

    /// What a command prints in the namespace.
    pub(crate) fn show(&self, words: &str) -> String {
        let arguments = ["netns", "exec", &self.name]
            .into_iter()
            .chain(words.split(' '));
        let output = Command::new("ip").args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs `ip` in the namespace with each of these lines, all of which must succeed.
    pub(crate) fn ip_all(&self, lines: &[String]) {
        let mut ip = Command::new("ip")
            .args(["-n", &self.name, "-batch", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        ip.stdin
            .take()
            .unwrap()
            .write_all(lines.join("\n").as_bytes())
            .unwrap();
        assert!(ip.wait().unwrap().success(), "{lines:?}");
    }

    /// Runs `ip` in the namespace with these words, and says whether it succeeded.
    pub(crate) fn try_ip(&self, words: &str) -> bool {
        let arguments = ["-n", &self.name].into_iter().chain(words.split(' '));
        let mut ip = Command::new("ip");
        ip.args(arguments)
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    }

    pub(crate) fn ifindex(&self, device: &str) -> u32 {
        self.run(|| {
            let kind = SocketType::DGRAM;
            let socket = rustix::net::socket(AddressFamily::INET, kind, None).unwrap();
            netdevice::name_to_index(&socket, device).unwrap()
        })
    }

    /// Gives a device that is up an IPv6 address, with which it begins to send messages of its own.
    /// The kernel takes packets for it only some time later, which this waits for.
    pub(crate) fn add_ipv6(&self, device: &str, address: IpAddr) {
        self.run(|| {
            let path = format!("/proc/sys/net/ipv6/conf/{device}/disable_ipv6");
            std::fs::write(path, "0").unwrap();
        });
        self.ip(&format!("addr add {address}/64 dev {device} nodad"));
        let (started, local) = (Instant::now(), format!("local {address} dev {device} "));
        while !self.show("ip -6 route show table local").contains(&local) {
            assert!(started.elapsed() < PATIENCE, "no route to {address}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Does `work` in the namespace, on a thread of its own.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                self.enter();
                work()
            });
            inside.join().unwrap()
        })
    }

    /// Moves the calling thread into the namespace.
    pub(crate) fn enter(&self) {
        move_to(&File::open(format!("/run/netns/{}", self.name)).unwrap());
    }

    /// Moves the calling thread to where this was made.
    pub(crate) fn leave(&self) {
        move_to(&self.outside);
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        command("ip", &["netns", "del", &self.name]);
    }
}

fn move_to(namespace: &File) {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
}
