//! The active log segment: append, flush, and undo what did not work.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{open_private, segment_path, sync_folder};
use super::record::{Flush, write_frame};
use crate::Revision;
use crate::mvcc::Commit;

/// Each flushed frame reserves so many revisions more than it uses.
pub(super) const RESERVED: u64 = 1000;

/// So much may lie in the log unflushed before a relaxed change has to wait for the disk after all.
const UNFLUSHED_BYTES: usize = 4 << 20;

/// What a log needs of a file; tests put one that fails in its place.
pub(super) trait SegmentFile: Send {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    fn flush(&self) -> io::Result<()>;
}

impl SegmentFile for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Self::set_len(self, len)
    }

    fn flush(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// The segment that is written to.
pub(super) struct Log {
    folder: PathBuf,
    number: u64,
    file: Box<dyn SegmentFile>,
    /// Up to here the file is flushed.
    flushed: u64,
    /// What follows in the file but is not flushed: relaxed frames.
    unflushed: Vec<u8>,
    /// Revisions up to here will not be given out again after a crash.
    reserved: Revision,
    /// A failed write may have left something behind `unflushed`, or lost something of it.
    damaged: bool,
}

impl Log {
    /// Starts segment `number`, which says that the store is at `revision`.
    pub fn create(folder: &Path, number: u64, revision: Revision) -> io::Result<Self> {
        let path = segment_path(folder, number);
        let file = open_private(&path)?;
        file.set_len(0)?;
        let mut log = Self::on(Box::new(file), folder, number);
        let started = log.append(&[], revision, Flush::Now).and_then(|()| sync_folder(folder));
        if let Err(error) = started {
            // Half a segment must not be found at the next open as the newest one.
            std::fs::remove_file(&path)?;
            return Err(error);
        }
        Ok(log)
    }

    fn on(file: Box<dyn SegmentFile>, folder: &Path, number: u64) -> Self {
        let folder = folder.to_owned();
        let unflushed = Vec::new();
        Self { folder, number, file, flushed: 0, unflushed, reserved: Revision::ZERO, damaged: false }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn len(&self) -> u64 {
        self.flushed + self.unflushed.len() as u64
    }

    /// Whether a relaxed change that brings the store to `revision` has to be flushed.
    pub fn must_flush(&self, revision: Revision) -> bool {
        revision > self.reserved || self.unflushed.len() > UNFLUSHED_BYTES
    }

    /// Whether something waits to be flushed.
    pub fn is_flushed(&self) -> bool {
        self.unflushed.is_empty() && !self.damaged
    }

    /// Appends commits that bring the store to `revision` as one frame. If it fails, the log is as before.
    pub fn append(&mut self, commits: &[Arc<Commit>], revision: Revision, flush: Flush) -> io::Result<()> {
        let reserved = match flush {
            Flush::Now => Revision(revision.0 + RESERVED),
            Flush::Later => self.reserved,
        };
        self.append_frame(commits, revision, reserved, flush)
    }

    /// Flushes, and gives back what was reserved: the next open goes on at exactly `revision`.
    pub fn finish(&mut self, revision: Revision) -> io::Result<()> {
        self.append_frame(&[], revision, revision, Flush::Now)
    }

    fn append_frame(
        &mut self,
        commits: &[Arc<Commit>],
        revision: Revision,
        reserved: Revision,
        flush: Flush,
    ) -> io::Result<()> {
        self.repair()?;
        let before = self.unflushed.len();
        write_frame(&mut self.unflushed, (revision, reserved), flush, commits.iter().map(AsRef::as_ref));
        let written = self.file.write_at(&self.unflushed[before..], self.flushed + before as u64);
        let done = written.and_then(|()| if flush == Flush::Now { self.file.flush() } else { Ok(()) });
        if let Err(error) = done {
            self.unflushed.truncate(before);
            self.damaged = true;
            // If this fails as well, the next append tries again; the cause worth telling is the first.
            if let Err(second) = self.repair() {
                tracing::warn!(error = %second, "the log cannot be cut back yet");
            }
            return Err(error);
        }
        if flush == Flush::Now {
            self.flushed = self.len();
            self.unflushed = Vec::new();
            self.reserved = reserved;
        }
        Ok(())
    }

    /// After a failure: cuts the file back to what is certainly good and writes again what was not flushed. A failed
    /// flush may have dropped pages that were written before, so it is not enough to cut off the failed frame.
    fn repair(&mut self) -> io::Result<()> {
        if self.damaged {
            self.file.set_len(self.flushed)?;
            self.file.write_at(&self.unflushed, self.flushed)?;
            self.file.flush()?;
            self.damaged = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::record::{Parsed, parse_frame};
    use parking_lot::Mutex;

    /// A file with room for so many bytes, whose flush may fail.
    #[derive(Default, Clone)]
    struct Fragile(Arc<Mutex<State>>);

    #[derive(Default)]
    struct State {
        bytes: Vec<u8>,
        room: usize,
        flush_fails: bool,
    }

    impl SegmentFile for Fragile {
        fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
            let mut state = self.0.lock();
            let offset = offset as usize;
            let fits = bytes.len().min(state.room.saturating_sub(offset));
            state.bytes.resize(offset + fits, 0);
            state.bytes[offset..].copy_from_slice(&bytes[..fits]);
            if fits == bytes.len() { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.0.lock().bytes.resize(len as usize, 0);
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            if self.0.lock().flush_fails { Err(io::Error::other("flush")) } else { Ok(()) }
        }
    }

    fn revisions(file: &Fragile) -> Vec<u64> {
        let state = file.0.lock();
        let mut rest = &state.bytes[..];
        let mut found = Vec::new();
        loop {
            match parse_frame(rest) {
                Parsed::Frame { frame, len } => {
                    found.push(frame.revision.0);
                    rest = &rest[len..];
                }
                Parsed::End => return found,
                Parsed::Torn => panic!("torn after {found:?}"),
            }
        }
    }

    #[test]
    fn a_full_disk_and_a_failed_flush_leave_whole_frames_and_the_log_goes_on() {
        let file = Fragile::default();
        let mut log = Log::on(Box::new(file.clone()), Path::new("/nowhere"), 1);
        file.0.lock().room = 60; // two frames of 25 and a bit
        log.append(&[], Revision(1), Flush::Now).unwrap();
        log.append(&[], Revision(2), Flush::Later).unwrap();
        let error = log.append(&[], Revision(3), Flush::Now).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(revisions(&file), [1, 2]);

        file.0.lock().room = 1000;
        file.0.lock().flush_fails = true;
        log.append(&[], Revision(4), Flush::Now).unwrap_err();
        log.append(&[], Revision(5), Flush::Now).unwrap_err();
        file.0.lock().flush_fails = false;
        log.append(&[], Revision(6), Flush::Now).unwrap();
        assert_eq!(revisions(&file), [1, 2, 6]);
    }
}
