//! SHA-256 while bytes pass by.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

/// `sha256:…` of a finished hash.
pub(super) fn name(hash: Sha256) -> String {
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// `sha256:…` of bytes.
pub(super) fn of(bytes: &[u8]) -> String {
    name(Sha256::new_with_prefix(bytes))
}

/// A reader that hashes what it reads.
pub(super) struct Hashing<R> {
    inner: R,
    hash: Sha256,
    pub size: u64,
}

impl<R: Read> Hashing<R> {
    pub fn new(inner: R) -> Self {
        Self { inner, hash: Sha256::new(), size: 0 }
    }

    /// What was read from, and the digest of what was read so far.
    pub fn into_parts(self) -> (R, String) {
        (self.inner, name(self.hash))
    }

    /// The digest of all there is, reading what nobody has read yet.
    pub fn finish(mut self) -> io::Result<(String, u64)> {
        io::copy(&mut self, &mut io::sink())?;
        Ok((name(self.hash), self.size))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.size += read as u64;
        Ok(read)
    }
}
