//! A virtual machine that does what it is told. Waiting always has a deadline; a machine that does
//! not do what a test needs of it ends the test with what was on its console.

mod port;

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use tempfile::TempDir;

use crate::image::{Image, Images};
use port::Port;

/// The program that plays the machine.
pub(crate) const QEMU: &str = "qemu-system-x86_64";

/// How long a machine may take to be ready: ten times what it takes on an idle desk.
const BOOT: Duration = Duration::from_secs(120);
/// How long a command may take, and what a test waits for.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at something that is waited for.
const POLL: Duration = Duration::from_millis(250);
/// Bytes of a file in one command.
const CHUNK: usize = 1 << 14;
/// Lines of the console that a failed test shows.
const SHOWN: usize = 60;

/// How a machine is made.
#[derive(Debug)]
pub(crate) struct Hardware {
    pub(crate) image: Image,
    /// Of which half is for files.
    pub(crate) memory_mib: u32,
    pub(crate) processors: u32,
    /// Words for the kernel's command line, such as `DHCP=eth0`.
    pub(crate) kernel: Vec<String>,
    /// Arguments for QEMU, such as those for NICs and what they are connected to. The memory is
    /// shared already, as a back end in another process needs it.
    pub(crate) qemu: Vec<OsString>,
}

impl Hardware {
    /// A machine without any NIC.
    pub(crate) fn of(image: Image) -> Hardware {
        Hardware {
            image,
            memory_mib: 1_024,
            processors: 2,
            kernel: Vec::new(),
            qemu: Vec::new(),
        }
    }
}

/// A machine that runs. Dropping it turns it off.
pub(crate) struct Vm {
    qemu: Child,
    port: Port,
    /// What it says on its console, and what QEMU says itself.
    folder: TempDir,
    commands: u64,
    release: String,
}

/// What a command left.
#[derive(Debug)]
pub(crate) struct Ran {
    /// As the shell has it: 128 and more is a signal.
    pub(crate) status: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Vm {
    /// Starts a machine and waits until it is ready.
    #[track_caller]
    pub(crate) fn boot(images: &Images, hardware: &Hardware) -> Vm {
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let qemu = command(images, hardware, folder.path())
            .stdin(OwnedFd::from(theirs.try_clone().unwrap()))
            .stdout(OwnedFd::from(theirs))
            .stderr(File::create(folder.path().join("qemu")).unwrap())
            .spawn()
            .expect("QEMU starts");
        let mut vm = Vm {
            qemu,
            port: Port::new(ours),
            folder,
            commands: 0,
            release: String::new(),
        };
        let greeting = vm.port.line(Instant::now() + BOOT);
        let greeting = greeting.unwrap_or_else(|error| panic!("the machine is not ready: {error}"));
        let release = greeting.strip_prefix("ready ");
        vm.release = release.expect("a greeting").to_owned();
        vm
    }

    /// The version of its kernel, as `uname -r` says it.
    pub(crate) fn release(&self) -> &str {
        &self.release
    }

    /// How many commands it was given.
    pub(crate) fn commands(&self) -> u64 {
        self.commands
    }

    /// Runs a command of the shell, which is one line, to its end. Names of busybox's own programs
    /// mean these, whatever else there is of that name.
    #[track_caller]
    pub(crate) fn run(&mut self, command: &str) -> Ran {
        assert!(!command.contains('\n'), "{command:?} is not one line");
        self.commands += 1;
        let deadline = Instant::now() + PATIENCE;
        let answer = self.port.say(&format!("{} {command}\n", self.commands));
        let answer = answer.and_then(|()| self.port.line(deadline));
        let answer = answer.unwrap_or_else(|error| panic!("{command}: {error}"));
        let numbers: Vec<u64> = answer
            .split(' ')
            .map(|word| word.parse().unwrap_or_else(|_| panic!("{answer:?}")))
            .collect();
        let [number, status, stdout, stderr] = numbers[..] else {
            panic!("{answer:?} answers nothing");
        };
        assert_eq!(number, self.commands, "an answer to something else");
        let mut said = |len: u64| {
            let said = self.port.bytes(usize::try_from(len).unwrap(), deadline);
            said.unwrap_or_else(|error| panic!("{command}: {error}"))
        };
        Ran {
            stdout: said(stdout),
            stderr: said(stderr),
            status: i32::try_from(status).unwrap(),
        }
    }

    /// What a command says on standard output, which must succeed.
    #[track_caller]
    pub(crate) fn check(&mut self, command: &str) -> String {
        let ran = self.run(command);
        assert_eq!(ran.status, 0, "{command}: {}", ran.said());
        String::from_utf8(ran.stdout).unwrap()
    }

    /// Writes a file.
    #[track_caller]
    pub(crate) fn write(&mut self, path: &str, bytes: &[u8]) {
        self.check(&format!(": > {path}"));
        for chunk in bytes.chunks(CHUNK) {
            let digits: String = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
            self.check(&format!("echo {digits} | xxd -r -p >> {path}"));
        }
    }

    /// Calls `attempt` until it gives something, or the test has waited too long.
    #[track_caller]
    pub(crate) fn eventually<T>(
        &mut self,
        what: &str,
        mut attempt: impl FnMut(&mut Vm) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(value) = attempt(self) {
                return value;
            }
            assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
        if std::thread::panicking() {
            for name in ["qemu", "console"] {
                let bytes = fs::read(self.folder.path().join(name)).unwrap_or_default();
                let text = String::from_utf8_lossy(&bytes);
                let lines: Vec<&str> = text.lines().collect();
                let shown = &lines[lines.len().saturating_sub(SHOWN)..];
                eprintln!("the end of {name}:\n{}", shown.join("\n"));
            }
        }
    }
}

impl Ran {
    /// Its output, which is JSON.
    #[track_caller]
    pub(crate) fn read<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", self.said()))
    }

    /// All it said, for people.
    pub(crate) fn said(&self) -> String {
        let [stdout, stderr] =
            [&self.stdout, &self.stderr].map(|said| String::from_utf8_lossy(said));
        format!("status {}: {stdout}{stderr}", self.status)
    }
}

/// QEMU as a machine of this image: processor and all emulated, no device that is not named.
fn command(images: &Images, hardware: &Hardware, folder: &Path) -> Command {
    let memory = format!("{}M", hardware.memory_mib);
    let console = format!("file:{}", folder.join("console").display());
    // A panic of the kernel ends the machine at once, and the test by it.
    let mut kernel = vec!["console=ttyS0".to_owned(), "panic=-1".to_owned()];
    kernel.extend(hardware.kernel.iter().cloned());
    let mut command = Command::new(QEMU);
    command
        .args(["-nodefaults", "-no-user-config", "-no-reboot"])
        .args(["-display", "none", "-accel", "tcg,thread=multi"])
        .args(["-cpu", "max", "-smp", &hardware.processors.to_string()])
        .args(["-machine", "q35,memory-backend=memory", "-m", &memory])
        .arg("-object")
        .arg(format!(
            "memory-backend-memfd,id=memory,size={memory},share=on"
        ))
        .arg("-kernel")
        .arg(images.kernel())
        .arg("-initrd")
        .arg(images.file(hardware.image))
        .args(["-append", &kernel.join(" ")])
        .args(["-serial", &console])
        .args(["-chardev", "stdio,id=commands,signal=off"])
        .args(["-device", "virtio-serial-pci"])
        .args(["-device", "virtserialport,chardev=commands,name=commands"])
        .args(&hardware.qemu);
    command
}
