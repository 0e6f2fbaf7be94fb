//! The images that virtual machines start from.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::vm::QEMU;

/// Which machine it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Image {
    /// One with virtual NICs and a traffic generator.
    Guest,
    /// The same, and the `clearway` of this build with what it takes to run an agent.
    Host,
}

/// The folder of the images, made or brought up to date; the end of the test where no virtual
/// machine can be.
macro_rules! images {
    () => {{
        fn here() {}
        match $crate::image::provide(std::any::type_name_of_val(&here)) {
            Some(folder) => folder,
            None => return,
        }
    }};
}
pub(crate) use images;

/// Kernel and images as files.
#[derive(Clone, Debug)]
pub(crate) struct Images(PathBuf);

impl Images {
    pub(crate) fn kernel(&self) -> PathBuf {
        self.0.join("kernel/vmlinuz")
    }

    pub(crate) fn file(&self, image: Image) -> PathBuf {
        self.0.join(match image {
            Image::Guest => "guest.cpio",
            Image::Host => "host.cpio",
        })
    }
}

/// Has the images made of what is current. None where there can be no virtual machine.
pub(crate) fn provide(test: &str) -> Option<Images> {
    if let Some(reason) = unable() {
        skipped(test.trim_end_matches("::here"), &reason);
        return None;
    }
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["xtask", "vm-image", "--clearway"])
        .arg(env!("CARGO_BIN_EXE_clearway"))
        .current_dir(&top)
        .stdin(Stdio::null())
        .output()
        .expect("cargo starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo xtask vm-image: {said}");
    Some(Images(top.join("target/vm-image")))
}

/// Why there can be no virtual machine here, if so.
fn unable() -> Option<String> {
    if !cfg!(target_arch = "x86_64") {
        return Some("the images are for x86_64".to_owned());
    }
    // The images are made of Debian's packages.
    let lacking = [QEMU, "apt-get", "dpkg-deb"];
    let lacking = lacking.into_iter().find(|name| !has_program(name))?;
    Some(format!("there is no {lacking}"))
}

fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// Tells and notes what a test could not do.
fn skipped(test: &str, reason: &str) {
    eprintln!("skipped, because {reason}");
    if let Some(journal) = std::env::var_os("CLEARWAY_SKIPPED_FILE") {
        let file = OpenOptions::new().create(true).append(true).open(journal);
        file.and_then(|mut file| file.write_all(format!("{test}\t{reason}\n").as_bytes()))
            .unwrap();
    }
}
