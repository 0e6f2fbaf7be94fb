//! Where the tests run: a network namespace with devices that carry nothing, and a bpffs. All of it
//! goes when the test is over.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use netdev::NamespaceName;
use netdev::netns::Namespace;
use rustix::net::{AddressFamily, SocketType, netdevice, socket};
use tempfile::TempDir;
use wire::MacAddr;

use crate::kernel::Kernel;

/// Runs `check` with a kernel, or says why there is none.
pub(crate) fn with_kernel(test: &str, check: impl FnOnce(Kernel) + Send) {
    let reason = match bpf::supported() {
        Err(error) => error.to_string(),
        Ok(_) if !rustix::process::geteuid().is_root() => "namespaces need root".to_owned(),
        Ok(_) => {
            let place = Place::new();
            let pins = place.bpffs.path().join("equality");
            return place
                .namespace
                .run_in(|| check(Kernel::new(&pins)))
                .unwrap();
        }
    };
    println!("skipped, because {reason}");
    if let Some(path) = std::env::var_os("CLEARWAY_SKIPPED_FILE") {
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| writeln!(file, "{test}\t{reason}"))
            .unwrap();
    }
}

/// Makes a veth pair, both ends here, and returns the indices of the two.
pub(crate) fn make_devices(number: u16) -> [u32; 2] {
    let (near, far) = (format!("near{number}"), format!("far{number}"));
    run(
        "ip",
        &["link", "add", &near, "type", "veth", "peer", "name", &far],
    );
    indices(near, far)
}

/// The same for the uplink, with the Ethernet address that frames off it are for.
pub(crate) fn make_uplink(mac: MacAddr) -> u32 {
    let [near, far] = ["uplink", "underlay"];
    let mac = mac.to_string();
    let pair = [
        "link", "add", near, "address", &mac, "type", "veth", "peer", "name", far,
    ];
    run("ip", &pair);
    let [uplink, _] = indices(near.to_owned(), far.to_owned());
    uplink
}

fn indices(near: String, far: String) -> [u32; 2] {
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None).unwrap();
    [near, far].map(|name| netdevice::name_to_index(&any, &name).unwrap())
}

struct Place {
    name: NamespaceName,
    namespace: Namespace,
    bpffs: TempDir,
}

impl Place {
    fn new() -> Place {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("equality-lab-{}-{number}", std::process::id());
        let name = NamespaceName::new(&name).unwrap();
        let namespace = Namespace::create(&name).unwrap();
        let bpffs = TempDir::new().unwrap();
        run("mount", &["-t", "bpf", "bpf", text(bpffs.path())]);
        Place {
            name,
            namespace,
            bpffs,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        run("umount", &[text(self.bpffs.path())]);
        if let Err(error) = Namespace::delete(&self.name) {
            eprintln!("left behind: {error}");
        }
    }
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}: {status}");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
