//! The node's pod addresses: one file each, so that a crash neither loses nor doubles one.
//!
//! As CNI's host-local: the next address after the last one given, round and round.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use crate::cidr::Ipv4Cidr;

const LAST: &str = "last_reserved";

/// Addresses of one range, kept in a folder.
#[derive(Debug)]
pub struct Addresses {
    folder: PathBuf,
    range: Ipv4Cidr,
}

#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    #[error("no IP addresses available in range {range}")]
    Exhausted { range: Ipv4Cidr },
    #[error("cannot keep pod addresses in {folder:?}")]
    Folder { folder: PathBuf, source: io::Error },
}

impl Addresses {
    pub fn open(folder: PathBuf, range: Ipv4Cidr) -> Result<Self, AddressError> {
        let addresses = Self { folder, range };
        fs::create_dir_all(&addresses.folder).map_err(|source| addresses.failed(source))?;
        Ok(addresses)
    }

    fn failed(&self, source: io::Error) -> AddressError {
        AddressError::Folder { folder: self.folder.clone(), source }
    }

    pub fn range(&self) -> Ipv4Cidr {
        self.range
    }

    /// The address of `owner`, a new one if it has none.
    pub fn reserve(&self, owner: &str) -> Result<Ipv4Addr, AddressError> {
        if let Some(address) = self.of(owner)? {
            return Ok(address);
        }
        let last = self.last().unwrap_or(self.range.gateway());
        let mut address = last;
        loop {
            address = self.range.next_host(address);
            if self.take(address, owner).map_err(|source| self.failed(source))? {
                return Ok(address);
            }
            if address == last || self.range.next_host(address) == self.range.next_host(last) {
                return Err(AddressError::Exhausted { range: self.range });
            }
        }
    }

    /// Gives the owner's address back; it may have none.
    pub fn release(&self, owner: &str) -> Result<(), AddressError> {
        let Some(address) = self.of(owner)? else { return Ok(()) };
        match fs::remove_file(self.folder.join(address.to_string())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.failed(error)),
            _ => Ok(()),
        }
    }

    /// All addresses that are given out, with their owners.
    pub fn all(&self) -> Result<Vec<(Ipv4Addr, String)>, AddressError> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(|source| self.failed(source))? {
            let entry = entry.map_err(|source| self.failed(source))?;
            let name = entry.file_name();
            let Some(address) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            match fs::read_to_string(entry.path()) {
                Ok(owner) => found.push((address, owner)),
                // Given back while we looked.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(self.failed(source)),
            }
        }
        Ok(found)
    }

    /// The address that the owner has.
    pub fn of(&self, owner: &str) -> Result<Option<Ipv4Addr>, AddressError> {
        Ok(self.all()?.into_iter().find(|(_, own)| own == owner).map(|(address, _)| address))
    }

    /// Where to go on; without it (a new folder, a lost file) from the start.
    fn last(&self) -> Option<Ipv4Addr> {
        let text = fs::read_to_string(self.folder.join(LAST)).ok()?;
        text.parse().ok().filter(|address| self.range.contains(*address))
    }

    /// False if somebody has it.
    fn take(&self, address: Ipv4Addr, owner: &str) -> io::Result<bool> {
        let path = self.folder.join(address.to_string());
        // Written aside and linked into place: a crash leaves no address without its owner.
        let aside = self.folder.join(format!(".{owner}"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(owner.as_bytes())?;
        let linked = fs::hard_link(&aside, &path);
        fs::remove_file(&aside)?;
        match linked {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
            Ok(()) => {
                fs::write(self.folder.join(LAST), address.to_string())?;
                Ok(true)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_round_and_are_given_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || {
            Addresses::open(folder.path().to_owned(), "10.1.0.0/29".parse().expect("a range")).expect("opens")
        };
        let addresses = open();
        let last = |owner: &str| addresses.reserve(owner).expect("reserved").octets()[3];
        assert_eq!((last("a"), last("b"), last("a")), (2, 3, 2));
        addresses.release("a").expect("released");
        assert_eq!((last("c"), last("d"), last("e")), (4, 5, 6));
        assert_eq!(open().reserve("f").expect("reserved").octets()[3], 2);
        assert!(matches!(addresses.reserve("g"), Err(AddressError::Exhausted { .. })));
    }

    #[test]
    fn pods_that_come_and_go_at_once_do_not_disturb_each_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let addresses = Addresses::open(folder.path().to_owned(), "10.1.0.0/24".parse().expect("a range"))
            .expect("opens");
        std::thread::scope(|scope| {
            for owner in ["a", "b", "c", "d"] {
                let addresses = &addresses;
                scope.spawn(move || {
                    for _ in 0..100 {
                        addresses.reserve(owner).expect("reserved");
                        addresses.release(owner).expect("released");
                    }
                });
            }
        });
        assert!(addresses.all().expect("lists").is_empty());
    }
}
