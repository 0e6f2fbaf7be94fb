use std::fs;
use std::path::Path;

use super::toolchain::{Toolchain, clang_version, linux_version};
use super::{TOOLCHAIN_FILE, build, check, object_of, skip_or_fail};
use crate::setup::Purpose;
use crate::step::Outcome;

const PROGRAM: &str = r#"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} counters SEC(".maps");

SEC("tc") int count(struct __sk_buff *skb)
{
    __u32 key = 0;
    __u64 *value = bpf_map_lookup_elem(&counters, &key);
    if (value)
        __sync_fetch_and_add(value, skb->len);
    return 0;
}
char _license[] SEC("license") = "GPL";
"#;

/// Whether a compiler is here; if not, says so as every other test does.
fn can_compile(test: &str) -> bool {
    let lacking = Purpose::Bpf
        .needs()
        .into_iter()
        .find(|need| !need.tool.is_present());
    match lacking {
        Some(need) => {
            crate::skip::because(test, &format!("{} is not installed", need.tool.name()));
            false
        }
        None => true,
    }
}

fn program_in(folder: &Path) {
    fs::write(folder.join("count.bpf.c"), PROGRAM).unwrap();
}

#[test]
fn an_object_depends_on_its_source_and_not_on_its_place() {
    if !can_compile("bpf::an_object_depends_on_its_source_and_not_on_its_place") {
        return;
    }
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for folder in [one.path(), other.path()] {
        program_in(folder);
        build(folder).unwrap();
    }
    let bytes = |folder: &Path| fs::read(object_of(&folder.join("count.bpf.c"))).unwrap();
    assert_eq!(bytes(one.path()), bytes(other.path()));
    assert_eq!(check(one.path()).unwrap(), Outcome::Passed);

    fs::write(
        one.path().join("count.bpf.c"),
        PROGRAM.replace("skb->len", "skb->len + 1"),
    )
    .unwrap();
    let outcome = check(one.path()).unwrap();
    assert!(
        matches!(&outcome, Outcome::Failed(what) if what.starts_with("count.bpf.o differ")),
        "{outcome:?}"
    );
}

#[test]
fn another_compiler_is_no_reason_to_fail_on_a_persons_machine() {
    if !can_compile("bpf::another_compiler_is_no_reason_to_fail_on_a_persons_machine") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    program_in(folder.path());
    build(folder.path()).unwrap();
    fs::write(
        folder.path().join("count.bpf.o"),
        b"bytes of another compiler",
    )
    .unwrap();
    fs::write(folder.path().join(TOOLCHAIN_FILE), "clang 0.1\n").unwrap();
    let present = clang_version_here();
    let why = format!("clang {present} is not the recorded 0.1");
    assert_eq!(check(folder.path()).unwrap(), skip_or_fail(why));
}

fn clang_version_here() -> String {
    let text = crate::process::capture(crate::process::tool("clang").arg("--version")).unwrap();
    clang_version(&text).unwrap()
}

#[test]
fn warnings_are_errors() {
    if !can_compile("bpf::warnings_are_errors") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("bad.bpf.c"),
        "static int unused(void) { return 1; }",
    )
    .unwrap();
    assert!(format!("{:#}", build(folder.path()).unwrap_err()).contains("unused"));
}

#[test]
fn a_folder_without_programs_is_an_error() {
    assert!(super::sources(tempfile::tempdir().unwrap().path()).is_err());
}

#[test]
fn versions_are_read_from_what_compilers_and_headers_say() {
    let debian = "Debian clang version 14.0.6\nTarget: x86_64-pc-linux-gnu\n";
    assert_eq!(clang_version(debian).as_deref(), Some("14.0.6"));
    let ubuntu = "Ubuntu clang version 18.1.3 (1ubuntu1)\n";
    assert_eq!(clang_version(ubuntu).as_deref(), Some("18.1.3"));
    assert_eq!(clang_version("gcc"), None);
    assert_eq!(
        linux_version("#define LINUX_VERSION_CODE 393374\n"),
        "6.0.158"
    );
    assert_eq!(linux_version(""), "?");
}

#[test]
fn the_recorded_toolchain_is_compared_by_name() {
    let recorded = Toolchain::parse("clang 14.0.6\nlibbpf 1.1\n");
    assert_eq!(Toolchain::parse(&recorded.to_string()), recorded);
    assert_eq!(recorded.difference(&recorded), None);
    let newer = Toolchain::parse("clang 14.0.6\nlibbpf 1.2\n");
    assert_eq!(
        recorded.difference(&newer).as_deref(),
        Some("libbpf 1.2 is not the recorded 1.1")
    );
}
