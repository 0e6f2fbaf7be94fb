use std::{
    net::{SocketAddr, UdpSocket},
    process::{Command, Stdio},
};

use super::*;
use crate::{
    addr::Address,
    fixture::{PATIENCE, TestNamespace, VethPair, require_root, unique_name},
};

#[test]
fn a_name_comes_and_goes() {
    require_root!();
    let name = unique_name();
    assert!(!Namespace::exists(&name));
    assert!(Namespace::open_name(&name).unwrap_err().is_missing());
    assert!(!Namespace::delete(&name).unwrap());

    let created = Namespace::create(&name).unwrap();
    assert!(Namespace::exists(&name));
    assert!(Namespace::list().unwrap().contains(&name));
    assert_eq!(
        Namespace::open_name(&name).unwrap().id().unwrap(),
        created.id().unwrap()
    );
    assert_ne!(
        Namespace::current().unwrap().id().unwrap(),
        created.id().unwrap()
    );
    let again = Namespace::create(&name).unwrap_err();
    assert!(again.is_already_present(), "{again}");

    assert!(Namespace::delete(&name).unwrap());
    assert!(!Namespace::exists(&name));
    assert!(!Namespace::list().unwrap().contains(&name));
    // The handle keeps it alive without the name.
    assert_eq!(
        created
            .run_in(|| Namespace::current().unwrap().id().unwrap())
            .unwrap(),
        created.id().unwrap()
    );
}

#[test]
fn a_file_left_by_a_crash_is_taken_over() {
    require_root!();
    let name = unique_name();
    drop(share_directory().unwrap());
    fs::write(path_of(&name), "").unwrap();
    assert!(!Namespace::exists(&name));
    assert!(!Namespace::list().unwrap().contains(&name));
    Namespace::create(&name).unwrap();
    assert!(Namespace::exists(&name));
    assert!(Namespace::delete(&name).unwrap());
    assert!(!path_of(&name).exists());
}

#[test]
fn only_network_namespaces_are_opened() {
    let other_kind = Namespace::open_path(Path::new("/proc/self/ns/uts")).unwrap_err();
    assert_eq!(other_kind.subject(), "namespace /proc/self/ns/uts");
    assert!(Namespace::open_path(Path::new("/proc/self/status")).is_err());
    assert!(Namespace::open_pid(u32::MAX).unwrap_err().is_missing());
    let own = Namespace::open_pid(process::id()).unwrap();
    assert_eq!(
        own.id().unwrap(),
        Namespace::current().unwrap().id().unwrap()
    );
}

#[test]
fn work_runs_inside_and_the_caller_stays_outside() {
    require_root!();
    let test = TestNamespace::new();
    let before = Namespace::current().unwrap().id().unwrap();
    let mut seen = Vec::new();
    test.run(|| seen.push(Namespace::current().unwrap().id().unwrap()));
    assert_eq!(seen, [test.namespace.id().unwrap()]);
    assert_eq!(Namespace::current().unwrap().id().unwrap(), before);

    let panicked = panic::catch_unwind(|| test.namespace.run_in(|| panic!("of the work")));
    assert_eq!(
        *panicked.unwrap_err().downcast::<&str>().unwrap(),
        "of the work"
    );
}

#[test]
fn iproute2_can_enter() {
    require_root!();
    let test = TestNamespace::new();
    let output = Command::new("ip")
        .args([
            "netns",
            "exec",
            test.name.as_str(),
            "readlink",
            "/proc/self/ns/net",
        ])
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            eprintln!("skipped, because ip cannot be started: {error}");
            return;
        }
    };
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), link_text(&test));
}

#[tokio::test]
async fn programs_start_inside() {
    require_root!();
    let pair = VethPair::new().await;
    let mut plain = Command::new("readlink");
    plain.arg("/proc/self/ns/net").stdout(Stdio::piped());
    let child = pair.a.namespace.spawn_in(&mut plain).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        link_text(&pair.a)
    );

    let mut with_view = Command::new("ls");
    with_view.arg("/sys/class/net");
    pair.a
        .namespace
        .enter_like_ip_netns_exec(&mut with_view)
        .unwrap();
    let output = with_view.output().unwrap();
    let seen = String::from_utf8(output.stdout).unwrap();
    assert!(seen.lines().any(|line| line == "va"), "{seen}");
    assert!(!Path::new("/sys/class/net/va").exists(), "the view leaked");
}

#[tokio::test]
async fn datagrams_pass_between_namespaces() {
    require_root!();
    let pair = VethPair::new().await;
    let prefix = |text: &str| Address::from(text.parse::<ipnet::IpNet>().unwrap());
    pair.a
        .netlink()
        .add_address(pair.a_index, &prefix("10.9.0.1/24"))
        .await
        .unwrap();
    pair.b
        .netlink()
        .add_address(pair.b_index, &prefix("10.9.0.2/24"))
        .await
        .unwrap();

    let bind = |address: &str| {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    };
    let client = pair.a.run(|| bind("10.9.0.1:0"));
    let server = pair.b.run(|| bind("10.9.0.2:7"));
    client.send_to(b"hello", "10.9.0.2:7").unwrap();
    let mut buffer = [0; 16];
    let (len, from) = server.recv_from(&mut buffer).unwrap();
    server.send_to(&buffer[..len], from).unwrap();
    let (len, from) = client.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..len], b"hello");
    assert_eq!(from, "10.9.0.2:7".parse::<SocketAddr>().unwrap());
}

/// What `/proc/self/ns/net` of a process inside reads as.
fn link_text(test: &TestNamespace) -> String {
    let id = test.namespace.id().unwrap();
    format!("net:[{}]\n", id.inode)
}
