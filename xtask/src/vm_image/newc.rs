//! The archive that the kernel unpacks as its first root file system: cpio in the "newc" format
//! (Linux, Documentation/driver-api/early-userspace/buffer-format.rst).

use std::io::{self, ErrorKind, Write};

/// Names, like bodies, end at a multiple of this.
const ALIGNMENT: usize = 4;
const HEADER_LEN: usize = 110;
const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_644;
const EXECUTABLE: u32 = 0o100_755;

/// An archive under way. Every entry is root's and from 1970, so that equal contents make equal
/// bytes.
pub(super) struct Archive<W> {
    out: W,
    inode: u32,
}

impl<W: Write> Archive<W> {
    /// An archive without entries.
    pub(super) fn new(out: W) -> Self {
        Self { out, inode: 0 }
    }

    /// Adds a folder; those it lies in must be there.
    pub(super) fn folder(&mut self, path: &str) -> io::Result<()> {
        self.entry(path, FOLDER, &[])
    }

    /// Adds a file.
    ///
    /// # Errors
    /// When it has 4 GiB or more, or the archive cannot be written.
    pub(super) fn file(&mut self, path: &str, bytes: &[u8], executable: bool) -> io::Result<()> {
        self.entry(path, if executable { EXECUTABLE } else { FILE }, bytes)
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.inode = 0;
        self.entry("TRAILER!!!", 0, &[])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn entry(&mut self, path: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
        let too_long = |_| io::Error::new(ErrorKind::InvalidInput, format!("{path} is too long"));
        let size = u32::try_from(bytes.len()).map_err(too_long)?;
        let name_len = u32::try_from(path.len() + 1).map_err(too_long)?;
        let inode = self.inode;
        self.inode += 1;
        // Inode, mode, user, group, links, time, size, device, device of a node, name, checksum.
        let fields = [inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_len, 0];
        self.out.write_all(b"070701")?;
        for field in fields {
            write!(self.out, "{field:08x}")?;
        }
        self.out.write_all(path.as_bytes())?;
        self.out.write_all(&[0])?;
        self.pad(HEADER_LEN + path.len() + 1)?;
        self.out.write_all(bytes)?;
        self.pad(bytes.len())
    }

    fn pad(&mut self, len: usize) -> io::Result<()> {
        let missing = len.next_multiple_of(ALIGNMENT) - len;
        self.out.write_all(&[0; ALIGNMENT][..missing])
    }
}
