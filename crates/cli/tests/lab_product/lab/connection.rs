use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::{Guest, Lab, PATIENCE, eventually};

/// An open connection between two guests; the test has both ends.
pub(crate) struct Connection {
    pub(crate) client: TcpStream,
    pub(crate) server: TcpStream,
}

impl Connection {
    /// Between any two namespaces, which must be possible.
    pub(crate) fn between(client: &Guest, server: &Guest, to: SocketAddr) -> Connection {
        let listener = server.listen(to);
        listener.set_nonblocking(true).unwrap();
        let client = client.begin_connect(to);
        let (server, _) = eventually(&format!("connection to {to}"), || listener.accept().ok());
        Connection::of(client, server)
    }

    /// From both ends of a connection that is open.
    pub(crate) fn of(client: TcpStream, server: TcpStream) -> Connection {
        for stream in [&client, &server] {
            stream.set_nonblocking(false).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.set_write_timeout(Some(PATIENCE)).unwrap();
        }
        Connection { client, server }
    }

    /// Something is said and answered.
    #[track_caller]
    pub(crate) fn assert_alive(&mut self) {
        let Connection { client, server } = &*self;
        for (mut from, mut to) in [(client, server), (server, client)] {
            let mut heard = [0; 5];
            from.write_all(b"hello").expect("it takes what is said");
            to.read_exact(&mut heard).expect("the other side hears it");
            assert_eq!(&heard, b"hello");
        }
    }

    /// What the client says is dropped, for this reason and no other, and the server hears nothing.
    #[track_caller]
    pub(crate) fn assert_cut(&mut self, lab: &Lab, client: &str, reason: &str) {
        let before = lab.dropped(client, reason);
        self.client.write_all(b"anyone?").unwrap();
        eventually(reason, || {
            (lab.dropped(client, reason) > before).then_some(())
        });
        self.server.set_nonblocking(true).unwrap();
        let heard = self.server.read(&mut [0; 16]);
        self.server.set_nonblocking(false).unwrap();
        let error = heard.expect_err("nothing was to be heard");
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
    }

    /// What was said into a cut connection arrives after all.
    #[track_caller]
    pub(crate) fn assert_resumed(&mut self, said: &[u8]) {
        let mut heard = vec![0; said.len()];
        self.server
            .read_exact(&mut heard)
            .expect("the server hears it");
        assert_eq!(heard, said);
        self.assert_alive();
    }
}

impl Lab {
    /// Opens a connection, which must be possible.
    #[track_caller]
    pub(crate) fn connect(&self, from: &str, to: &str, address: &str) -> Connection {
        let address = address.parse().unwrap();
        Connection::between(&self.guest(from), &self.guest(to), address)
    }
}
