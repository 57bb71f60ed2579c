//! Opening: table plus log segments make the index.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use bytes::Bytes;

use super::files::{open_private, segment_path, segments};
use super::record::{Frame, Parsed, parse_frame};
use super::table::Table;
use crate::{KeyValue, OpenError, Revision};

/// What an earlier process left.
pub(super) struct Recovered {
    pub objects: BTreeMap<Bytes, KeyValue>,
    /// What is in the log and perhaps not in the table.
    pub changes: BTreeMap<Bytes, Option<KeyValue>>,
    /// No revision up to here may be given out again.
    pub revision: Revision,
    /// The number of the newest segment; 0 if there is none.
    pub segment: u64,
}

pub(super) fn recover(folder: &Path, table: &Table) -> Result<Recovered, OpenError> {
    let objects = table.read_all()?;
    let newest = objects.values().map(|kv| kv.mod_revision).max().unwrap_or_default();
    let mut recovered =
        Recovered { objects, changes: BTreeMap::new(), revision: newest.max(Revision(1)), segment: 0 };
    let numbers = segments(folder).map_err(|source| OpenError::Folder { path: folder.to_owned(), source })?;
    for number in &numbers {
        recovered.replay(folder, *number, Some(number) == numbers.last())?;
    }
    Ok(recovered)
}

impl Recovered {
    fn replay(&mut self, folder: &Path, number: u64, is_newest: bool) -> Result<(), OpenError> {
        let path = segment_path(folder, number);
        self.segment = number;
        let bytes = std::fs::read(&path).map_err(|source| OpenError::File { path: path.clone(), source })?;
        let mut rest = &bytes[..];
        loop {
            match parse_frame(rest) {
                Parsed::Frame { frame, len } => {
                    self.apply(frame);
                    rest = &rest[len..];
                }
                Parsed::End => return Ok(()),
                // Only the newest segment can end in a frame that nobody was told of.
                Parsed::Torn if is_newest && !hides_an_acknowledged_frame(rest) => {
                    tracing::info!(segment = number, bytes = rest.len(), "an unfinished write was dropped");
                    let good = (bytes.len() - rest.len()) as u64;
                    return cut(&path, good).map_err(|source| OpenError::File { path, source });
                }
                Parsed::Torn => {
                    let at = bytes.len() - rest.len();
                    let source = format!("the frame at byte {at} does not match its checksum").into();
                    return Err(OpenError::Damaged { path, source });
                }
            }
        }
    }

    fn apply(&mut self, frame: Frame) {
        // A clean end gives back what was reserved before, so the last frame decides and not the highest number.
        self.revision = frame.revision.max(frame.reserved);
        for (key, state) in frame.changes {
            match &state {
                Some(kv) => drop(self.objects.insert(key.clone(), kv.clone())),
                None => drop(self.objects.remove(&key)),
            }
            self.changes.insert(key, state);
        }
    }
}

/// Takes an unfinished write away for good: once a newer segment follows, it would count as damage.
fn cut(path: &Path, len: u64) -> io::Result<()> {
    let file = open_private(path)?;
    file.set_len(len)?;
    file.sync_all()
}

/// Whether something that was acknowledged stands behind a bad frame. One flushed frame there proves nothing: pages
/// reach the platter in any order, and the crash may have come before it was acknowledged. But the second was only
/// written once the first was down, and with it everything before.
fn hides_an_acknowledged_frame(torn: &[u8]) -> bool {
    let Some(len) = torn.first_chunk::<4>().map(|len| u32::from_le_bytes(*len) as usize) else {
        return false;
    };
    let mut rest = torn.get(8 + len..).unwrap_or_default();
    let mut flushed = 0;
    while let Parsed::Frame { frame, len } = parse_frame(rest) {
        flushed += usize::from(frame.flushed);
        rest = &rest[len..];
    }
    flushed >= 2
}
