use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;

use netdev::netns::Namespace;
use netdev::tap::{Tap, TapHeader, TapOptions};
use netdev::{LinkName, NamespaceName};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

use super::{Guest, Lab, eventually, mac_of};

/// A virtual machine with the kernel's own stack and with services of its own: a namespace whose
/// `eth0` is a TAP as well, between which and the NIC's TAP every frame is carried, as a VMM does.
pub(crate) struct Vm {
    name: NamespaceName,
    namespace: Namespace,
    guest: Guest,
    /// What its services see as `/etc`.
    etc: PathBuf,
    ended: Arc<AtomicBool>,
    relay: Option<JoinHandle<()>>,
}

impl Vm {
    /// Opens the TAP of a NIC and sets `eth0` up.
    pub(crate) fn boot(lab: &Lab, nic: &str) -> Vm {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("lab-vm-{}-{number}", std::process::id());
        let name = NamespaceName::new(&name).unwrap();
        let nic = lab.nic(nic);
        let outside = open(nic.device.as_deref().expect("the NIC has a device"));
        let namespace = Namespace::create(&name).unwrap();
        let inside = namespace.run_in(|| open("eth0")).unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let relay = {
            let ended = Arc::clone(&ended);
            std::thread::spawn(move || carry(&inside, &outside, &ended))
        };
        let vm = Vm {
            guest: Guest::open(&Path::new("/run/netns").join(name.as_str())),
            name,
            namespace,
            etc: lab.file("etc"),
            ended,
            relay: Some(relay),
        };
        vm.guest.netlink(async |netlink| {
            let device = LinkName::new("eth0").unwrap();
            let mac = mac_of(&nic.mac);
            netlink.set_mac(&device, mac.0).await.unwrap();
            netlink.set_up(&device).await.unwrap();
        });
        let copied = Command::new("cp")
            .args(["-a", "/etc"])
            .arg(&vm.etc)
            .status();
        assert!(copied.unwrap().success(), "a copy of /etc");
        vm
    }

    pub(crate) fn guest(&self) -> &Guest {
        &self.guest
    }

    /// A file of its `/etc`.
    pub(crate) fn etc(&self, name: &str) -> PathBuf {
        self.etc.join(name)
    }

    /// Starts a service; words are separated by blanks.
    pub(crate) fn start(&self, command: &str) -> Service {
        let mut words = Command::new("unshare");
        let script = "mount --bind \"$0\" /etc && exec \"$@\"";
        words
            .args(["--mount", "sh", "-c", script])
            .arg(&self.etc)
            .args(command.split_whitespace())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Service(self.namespace.spawn_in(&mut words).unwrap())
    }

    /// What `ip` says in it; words are separated by blanks.
    pub(crate) fn ip(&self, arguments: &str) -> String {
        let mut command = Command::new("ip");
        command
            .args(arguments.split_whitespace())
            .stdout(Stdio::piped());
        let child = self.namespace.spawn_in(&mut command).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "ip {arguments}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits until `ip` says something.
    #[track_caller]
    pub(crate) fn until_ip(&self, arguments: &str, expected: &str) {
        eventually(expected, || {
            self.ip(arguments).contains(expected).then_some(())
        });
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}{}", self.ip("address"), self.ip("-6 route"));
        }
        self.ended.store(true, Ordering::Relaxed);
        if let Some(relay) = self.relay.take() {
            let _ = relay.join();
        }
        let _ = Namespace::delete(&self.name);
    }
}

/// A process of a virtual machine, which ends with the test.
pub(crate) struct Service(Child);

impl Service {
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether this machine has a program.
pub(super) fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path);
    folders
        .chain([PathBuf::from("/sbin"), PathBuf::from("/usr/sbin")])
        .any(|folder| folder.join(name).is_file())
}

fn open(device: &str) -> Tap {
    Tap::open(&TapOptions {
        name: LinkName::new(device).unwrap(),
        multi_queue: false,
        header: TapHeader::Short,
        persist: false,
        owner: None,
    })
    .unwrap()
}

/// Carries frames both ways. Those for a link that is not up yet are lost, as on any wire.
fn carry(one: &Tap, other: &Tap, ended: &AtomicBool) {
    let mut buffer = vec![0; 70_000];
    let pause = Timespec {
        tv_sec: 0,
        tv_nsec: 20_000_000,
    };
    while !ended.load(Ordering::Relaxed) {
        let mut fds = [
            PollFd::new(one, PollFlags::IN),
            PollFd::new(other, PollFlags::IN),
        ];
        let _ = poll(&mut fds, Some(&pause));
        for (from, to) in [(one, other), (other, one)] {
            while let Ok(len) = from.read_frame(&mut buffer) {
                let _ = to.write_frame(&[&buffer[..len]]);
            }
        }
    }
}
