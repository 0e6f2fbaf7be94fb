//! Connections between the guests of two hosts that carry data until they are told to end.

use crate::two_hosts::{Side, TwoHosts, clearway};

const SCRIPT: &str = "/root/transfer.sh";
/// What goes over a connection again and again: random, and of a length that fits no segment.
const BLOCK: &str = "/root/block";
const BLOCK_LEN: usize = 1_000_003;

/// A connection that carries data, by the beginning of the names of its files.
pub(crate) struct Transfer(String);

impl TwoHosts {
    /// Brings what transfers need into the machine.
    pub(crate) fn prepare_transfers(&mut self) {
        self.vm.write(SCRIPT, include_bytes!("transfer.sh"));
        let fill = format!("chmod +x {SCRIPT} && head -c {BLOCK_LEN} /dev/urandom > {BLOCK}");
        self.vm.check(&fill);
    }

    /// Sends data from a host's guest to the other's, to this port.
    pub(crate) fn transfer(&mut self, from: Side, port: u16) -> Transfer {
        let to = from.other();
        let name = format!("/tmp/transfer-{}", self.vm.commands());
        let server = clearway(to, &to.exec(&format!("nc -l -p {port}")));
        self.vm.check(&format!(
            "{SCRIPT} receive {name} {server} >/dev/null 2>&1 &"
        ));
        self.vm.eventually("the server listens", |vm| {
            let listening = vm.check(&clearway(to, &to.exec("netstat -ltn")));
            listening.contains(&format!(":{port} ")).then_some(())
        });
        let client = clearway(from, &from.exec(&format!("nc {} {port}", to.address())));
        self.vm.check(&format!(
            "{SCRIPT} send {name} {BLOCK} {client} >/dev/null 2>&1 &"
        ));
        Transfer(name)
    }

    /// Ends a transfer. The server must have received what the client sent, to the byte.
    #[track_caller]
    pub(crate) fn finish(&mut self, transfer: Transfer) {
        let Transfer(name) = transfer;
        self.vm.check(&format!("touch {name}.stop"));
        self.vm.eventually("the server has all", |vm| {
            let ran = vm.run(&format!("test -e {name}.done"));
            (ran.status == 0).then_some(())
        });
        let rounds = self.vm.check(&format!("cat {name}.rounds"));
        assert_ne!(rounds.trim(), "0", "nothing was sent");
        let received = self.vm.check(&format!("cat {name}.sum"));
        let sent = self.vm.check(&format!("{SCRIPT} expect {name} {BLOCK}"));
        let said = self.vm.check(&format!("cat {name}.receiver {name}.sender"));
        assert_eq!(received, sent, "after {} rounds: {said}", rounds.trim());
    }
}
