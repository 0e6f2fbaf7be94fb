use std::fs;
use std::path::PathBuf;

use super::contents::Contents;
use super::kernel::closure;
use super::newc::Archive;
use super::programs::libraries;

#[test]
fn an_archive_is_what_the_kernel_documents() {
    let mut archive = Archive::new(Vec::new());
    archive.folder("bin").unwrap();
    archive.file("bin/x", b"hello", true).unwrap();
    archive.file("bin/y", b"", false).unwrap();
    let bytes = archive.finish().unwrap();
    let entries = entries(&bytes);
    let expected: [(&str, u32, &[u8]); 4] = [
        ("bin", 0o040_755, b""),
        ("bin/x", 0o100_755, b"hello"),
        ("bin/y", 0o100_644, b""),
        ("TRAILER!!!", 0, b""),
    ];
    assert_eq!(entries, expected);
}

#[test]
fn folders_precede_what_they_hold_and_equal_contents_make_equal_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    fs::write(&source, "of this machine").unwrap();
    let write = |name: &str| {
        let mut contents = Contents::default();
        contents.add_file("usr/lib/x/y", &source, true);
        contents.add_text("init", "#!/bin/sh\n", true);
        contents.add_folder("var/lib");
        let file = folder.path().join(name);
        contents.write(&file).unwrap();
        fs::read(file).unwrap()
    };
    let bytes = write("one");
    let names: Vec<_> = entries(&bytes).into_iter().map(|entry| entry.0).collect();
    assert_eq!(
        names,
        [
            "init",
            "usr",
            "usr/lib",
            "usr/lib/x",
            "usr/lib/x/y",
            "var",
            "var/lib",
            "TRAILER!!!"
        ]
    );
    assert_eq!(bytes, write("another"));
}

#[test]
fn a_change_of_any_input_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    fs::write(&source, "short").unwrap();
    let inputs = |text: &str| {
        let mut contents = Contents::default();
        contents.add_file("program", &source, true);
        contents.add_text("init", text, true);
        contents.inputs()
    };
    let before = inputs("one").unwrap();
    assert_eq!(inputs("one").unwrap(), before);
    assert_ne!(inputs("two").unwrap(), before);
    fs::write(&source, "longer").unwrap();
    assert_ne!(inputs("one").unwrap(), before);
    fs::remove_file(&source).unwrap();
    let error = inputs("one").unwrap_err().to_string();
    assert!(error.starts_with("cannot find "), "{error}");
}

#[test]
fn modules_come_with_what_they_depend_on() {
    let dependencies = "\
        kernel/net/core/failover.ko.xz:\n\
        kernel/drivers/net/net_failover.ko.xz: kernel/net/core/failover.ko.xz\n\
        kernel/arch/x86/crypto/crc32c-intel.ko.xz:\n\
        kernel/sound/soundcore.ko.xz:\n";
    let builtin = "kernel/net/packet/af_packet.ko\n";
    let names = ["net_failover", "crc32c_intel", "af_packet"];
    let files = closure(dependencies, builtin, names.into_iter()).unwrap();
    let expected = [
        "kernel/arch/x86/crypto/crc32c-intel.ko.xz",
        "kernel/drivers/net/net_failover.ko.xz",
        "kernel/net/core/failover.ko.xz",
    ];
    assert!(files.iter().eq(expected.iter()), "{files:?}");
    let error = closure(dependencies, builtin, ["veth"].into_iter()).unwrap_err();
    assert_eq!(error.to_string(), "the kernel has no module veth");
}

#[test]
fn libraries_are_read_off_ldd() {
    let said = "\
        \tlinux-vdso.so.1 (0x00007fa88945f000)\n\
        \tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007fa88934e000)\n\
        \t/lib64/ld-linux-x86-64.so.2 (0x00007fa889461000)\n";
    let expected = [
        "/lib/x86_64-linux-gnu/libm.so.6",
        "/lib64/ld-linux-x86-64.so.2",
    ];
    assert_eq!(libraries(said).unwrap(), expected.map(PathBuf::from));
    assert!(libraries("\tstatically linked\n").unwrap().is_empty());
    let error = libraries("\tlibx.so.1 => not found\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the library libx.so.1 is not on this machine"
    );
}

/// Names, modes and bodies, read as `Documentation/driver-api/early-userspace/buffer-format.rst` of
/// Linux has them.
fn entries(mut bytes: &[u8]) -> Vec<(&str, u32, &[u8])> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        assert_eq!(&bytes[..6], b"070701");
        let field = |n: usize| {
            let digits = std::str::from_utf8(&bytes[6 + 8 * n..14 + 8 * n]).unwrap();
            u32::from_str_radix(digits, 16).unwrap()
        };
        let (name_len, size) = (field(11) as usize, field(6) as usize);
        let name = std::str::from_utf8(&bytes[110..110 + name_len - 1]).unwrap();
        assert_eq!(bytes[110 + name_len - 1], 0, "the end of {name}");
        let body = (110 + name_len).next_multiple_of(4);
        entries.push((name, field(1), &bytes[body..body + size]));
        bytes = &bytes[(body + size).next_multiple_of(4)..];
    }
    entries
}
