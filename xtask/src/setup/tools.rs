//! The tools we use, where they come from, and which purpose needs which.

use std::path::Path;

use clap::ValueEnum;

use crate::process;

/// A program or a set of headers from outside this repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    Iproute2,
    Nsenter,
    Ping,
    Udhcpc,
    Dhclient,
    Nftables,
    Iperf3,
    Curl,
    Python3,
    Tcpdump,
    Ethtool,
    OpenVswitch,
    Clang,
    LlvmStrip,
    LibbpfHeaders,
    Bpftool,
    Valgrind,
    Qemu,
    Testpmd,
    Depmod,
    Strip,
    Nextest,
}

/// Where a tool is installed from.
#[derive(Clone, Copy)]
pub(super) enum Source {
    /// Names of Debian packages; the first one the machine's lists know is taken.
    Debian(&'static [&'static str]),
    /// A crate on crates.io.
    Cargo(&'static str),
}

/// A tool, and what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) tool: Tool,
    /// What it is used for; completes "needed: ...".
    pub(crate) why: &'static str,
    /// Whether there is no point in going on without it.
    pub(crate) required: bool,
}

/// What a person wants to do with the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Purpose {
    /// `cargo xtask test`
    Test,
    /// `cargo xtask quickstart`
    Quickstart,
    /// `cargo xtask bench`
    Bench,
    /// `cargo xtask bench --peers`
    Peers,
    /// `cargo xtask bpf`
    Bpf,
    /// `cargo xtask vm-image`, and virtual machines of its images
    Vm,
    /// Looking into packets, programs and memory by hand
    Debug,
}

impl Tool {
    /// The name under which people know it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Iproute2 => "ip",
            Self::Nsenter => "nsenter",
            Self::Ping => "ping",
            Self::Udhcpc => "udhcpc",
            Self::Dhclient => "dhclient",
            Self::Nftables => "nft",
            Self::Iperf3 => "iperf3",
            Self::Curl => "curl",
            Self::Python3 => "python3",
            Self::Tcpdump => "tcpdump",
            Self::Ethtool => "ethtool",
            Self::OpenVswitch => "ovs-vswitchd",
            Self::Clang => "clang",
            Self::LlvmStrip => "llvm-strip",
            Self::LibbpfHeaders => "bpf_helpers.h",
            Self::Bpftool => "bpftool",
            Self::Valgrind => "valgrind",
            Self::Qemu => "qemu-system-x86_64",
            Self::Testpmd => "dpdk-testpmd",
            Self::Depmod => "depmod",
            Self::Strip => "strip",
            Self::Nextest => "cargo-nextest",
        }
    }

    /// Whether this machine has it.
    pub(crate) fn is_present(self) -> bool {
        match self {
            Self::LibbpfHeaders => ["/usr/include", "/usr/local/include"]
                .iter()
                .any(|folder| Path::new(folder).join("bpf/bpf_helpers.h").is_file()),
            _ => process::find(self.name()).is_some(),
        }
    }

    pub(super) fn source(self) -> Source {
        match self {
            Self::Iproute2 => Source::Debian(&["iproute2"]),
            Self::Nsenter => Source::Debian(&["util-linux"]),
            Self::Ping => Source::Debian(&["iputils-ping"]),
            Self::Udhcpc => Source::Debian(&["udhcpc"]),
            Self::Dhclient => Source::Debian(&["isc-dhcp-client"]),
            Self::Nftables => Source::Debian(&["nftables"]),
            Self::Iperf3 => Source::Debian(&["iperf3"]),
            Self::Curl => Source::Debian(&["curl"]),
            Self::Python3 => Source::Debian(&["python3"]),
            Self::Tcpdump => Source::Debian(&["tcpdump"]),
            Self::Ethtool => Source::Debian(&["ethtool"]),
            Self::OpenVswitch => Source::Debian(&["openvswitch-switch"]),
            Self::Clang => Source::Debian(&["clang"]),
            Self::LlvmStrip => Source::Debian(&["llvm"]),
            Self::LibbpfHeaders => Source::Debian(&["libbpf-dev"]),
            // Ubuntu ships it inside linux-tools before it got a package of its own.
            Self::Bpftool => Source::Debian(&["bpftool", "linux-tools-common"]),
            Self::Valgrind => Source::Debian(&["valgrind"]),
            Self::Qemu => Source::Debian(&["qemu-system-x86"]),
            Self::Testpmd => Source::Debian(&["dpdk-dev"]),
            Self::Depmod => Source::Debian(&["kmod"]),
            Self::Strip => Source::Debian(&["binutils"]),
            Self::Nextest => Source::Cargo("cargo-nextest"),
        }
    }
}

impl Purpose {
    /// What this purpose uses, the indispensable first.
    pub(crate) fn needs(self) -> Vec<Need> {
        let required = |tool, why| Need {
            tool,
            why,
            required: true,
        };
        let useful = |tool, why| Need {
            tool,
            why,
            required: false,
        };
        match self {
            Self::Test => vec![
                required(Tool::Nextest, "runs the tests"),
                useful(Tool::Iproute2, "tests in network namespaces"),
                useful(Tool::Ping, "tests in network namespaces"),
                useful(Tool::Nftables, "tests beside the kernel's own filter"),
                useful(Tool::Ethtool, "tests of device offloads"),
                useful(Tool::OpenVswitch, "tests beside another switch's VXLAN"),
                useful(Tool::Udhcpc, "tests of the configuration of guests"),
                useful(Tool::Dhclient, "tests of the configuration of guests"),
                useful(Tool::Testpmd, "tests beside DPDK's virtio driver"),
                useful(Tool::Qemu, "tests in virtual machines"),
                useful(Tool::Depmod, "tests in virtual machines"),
                useful(Tool::Strip, "tests in virtual machines"),
                useful(Tool::Iperf3, "tests in virtual machines"),
            ],
            Self::Quickstart => vec![
                required(Tool::Iproute2, "makes the guests' namespaces"),
                required(Tool::Ping, "shows that guests reach each other"),
                required(Tool::Iperf3, "carries TCP and UDP between guests"),
                required(Tool::Python3, "serves a page in a guest"),
                required(Tool::Curl, "fetches that page from another guest"),
            ],
            Self::Bench => vec![
                required(Tool::Iproute2, "makes the testbeds"),
                required(Tool::Ping, "warms neighbour tables"),
                required(Tool::Nftables, "the rules of the peer with a bridge"),
                required(Tool::Iperf3, "measures throughput"),
            ],
            Self::Peers => {
                let mut needs = Self::Bench.needs();
                needs.push(required(Tool::Nsenter, "starts agents on two hosts"));
                needs
            }
            Self::Bpf => vec![
                required(Tool::Clang, "compiles the eBPF programs"),
                required(Tool::LlvmStrip, "strips debug information off them"),
                required(Tool::LibbpfHeaders, "declares the eBPF helpers"),
            ],
            Self::Vm => vec![
                required(Tool::Depmod, "lists the modules of a kernel"),
                required(Tool::Strip, "makes programs small"),
                required(Tool::Iproute2, "makes network namespaces in an image"),
                required(Tool::Nftables, "filters packets in an image"),
                required(Tool::Iperf3, "carries TCP and UDP between machines"),
                useful(Tool::Qemu, "runs virtual machines"),
            ],
            Self::Debug => vec![
                useful(Tool::Tcpdump, "shows packets"),
                useful(Tool::Bpftool, "shows eBPF programs and maps"),
                useful(
                    Tool::Valgrind,
                    "checks memory in the crates with unsafe code",
                ),
                useful(Tool::Python3, "reads JSON in shell pipelines"),
            ],
        }
    }
}
