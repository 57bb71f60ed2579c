//! The table of all keys' last states, in redb.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use redb::backends::FileBackend;
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition,
};

use super::files::{open_private, sync_folder};
use super::record::{Change, parse_row, write_row};
use crate::{KeyValue, OpenError};

const OBJECTS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("objects");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// The layout that this program reads and writes.
const FORMAT: u64 = 1;

/// An open table. After a failed write redb wants to be opened anew; [`Table::write`] does that by itself.
pub(super) struct Table {
    path: PathBuf,
    cache_bytes: usize,
    database: Option<Database>,
}

impl Table {
    pub fn open(folder: &Path, cache_bytes: usize) -> Result<Self, OpenError> {
        let path = folder.join("table.redb");
        if !path.try_exists().map_err(|source| OpenError::File { path: path.clone(), source })? {
            create(folder, &path, cache_bytes)?;
        }
        let database = guarded(&path, || open_database(&path, cache_bytes))?;
        let table = Self { path, cache_bytes, database: Some(database) };
        table.check_format()?;
        Ok(table)
    }

    /// All rows.
    pub fn read_all(&self) -> Result<BTreeMap<Bytes, KeyValue>, OpenError> {
        let database = self.database.as_ref().expect("open() has just opened it");
        guarded(&self.path, || read_rows(&self.path, database))
    }

    /// Brings changes to disk, all or none.
    pub fn write<'a>(&mut self, changes: impl Iterator<Item = &'a Change>) -> Result<(), OpenError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => guarded(&self.path, || open_database(&self.path, self.cache_bytes))?,
        };
        write_rows(&database, changes)
            .map_err(|source| OpenError::Write { path: self.path.clone(), source: Box::new(source) })?;
        self.database = Some(database);
        Ok(())
    }

    fn check_format(&self) -> Result<(), OpenError> {
        let database = self.database.as_ref().expect("open() has just opened it");
        let found = read_format(database)
            .map_err(|source| OpenError::Read { path: self.path.clone(), source: Box::new(source) })?;
        if found != FORMAT {
            return Err(OpenError::Format { path: self.path.clone(), found, known: FORMAT });
        }
        Ok(())
    }
}

/// Makes an empty table under another name first: a crash in between must not leave half a table.
fn create(folder: &Path, path: &Path, cache_bytes: usize) -> Result<(), OpenError> {
    let new = folder.join("table.redb.new");
    let failed = |source| OpenError::File { path: new.clone(), source };
    open_private(&new).and_then(|file| file.set_len(0)).map_err(failed)?;
    let database = guarded(&new, || open_database(&new, cache_bytes))?;
    write_format(&database)
        .map_err(|source| OpenError::Write { path: new.clone(), source: Box::new(source) })?;
    drop(database);
    std::fs::rename(&new, path).and_then(|()| sync_folder(folder)).map_err(failed)
}

/// redb panics on some damages instead of saying so; for us both are the same error.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, OpenError>) -> Result<T, OpenError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(damaged(path, "its pages contradict each other")))
}

fn damaged(path: &Path, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> OpenError {
    OpenError::Damaged { path: path.to_owned(), source: why.into() }
}

fn open_database(path: &Path, cache_bytes: usize) -> Result<Database, OpenError> {
    let file = open_private(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?;
    let backend = FileBackend::new(file).map_err(|source| open_error(path, source))?;
    Builder::new()
        .set_cache_size(cache_bytes)
        // All pages are read anyway; this way a flipped bit is an error and not a wrong object.
        .set_check_integrity_on_open(true)
        .create_with_backend(backend)
        .map_err(|source| open_error(path, source))
}

fn open_error(path: &Path, error: DatabaseError) -> OpenError {
    let is_damage = match &error {
        DatabaseError::DatabaseAlreadyOpen => return OpenError::Locked { path: path.to_owned() },
        DatabaseError::Storage(StorageError::Corrupted(_)) => true,
        DatabaseError::Storage(StorageError::Io(io)) => {
            matches!(io.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof)
        }
        DatabaseError::RepairAborted | DatabaseError::UpgradeRequired(_) => true,
        _ => false,
    };
    if is_damage {
        damaged(path, error)
    } else {
        OpenError::Read { path: path.to_owned(), source: Box::new(error) }
    }
}

fn write_format(database: &Database) -> Result<(), redb::Error> {
    let txn = database.begin_write()?;
    txn.open_table(META)?.insert("format", FORMAT)?;
    txn.open_table(OBJECTS)?;
    txn.commit()?;
    Ok(())
}

/// 0 if it is missing.
fn read_format(database: &Database) -> Result<u64, redb::Error> {
    let txn = database.begin_read()?;
    let found = txn.open_table(META)?.get("format")?;
    Ok(found.map_or(0, |found| found.value()))
}

fn read_rows(path: &Path, database: &Database) -> Result<BTreeMap<Bytes, KeyValue>, OpenError> {
    let unreadable = |error: redb::Error| OpenError::Read { path: path.to_owned(), source: Box::new(error) };
    let txn = database.begin_read().map_err(|error| unreadable(error.into()))?;
    let objects = txn.open_table(OBJECTS).map_err(|error| unreadable(error.into()))?;
    let mut rows = BTreeMap::new();
    for row in objects.iter().map_err(|error| unreadable(error.into()))? {
        let (key, row) = row.map_err(|error| unreadable(error.into()))?;
        let kv = parse_row(key.value(), row.value()).ok_or_else(|| damaged(path, "a row is too short"))?;
        rows.insert(kv.key.clone(), kv);
    }
    Ok(rows)
}

fn write_rows<'a>(database: &Database, changes: impl Iterator<Item = &'a Change>) -> Result<(), redb::Error> {
    let txn = database.begin_write()?;
    {
        let mut objects = txn.open_table(OBJECTS)?;
        for (key, state) in changes {
            match state {
                Some(kv) => objects.insert(&key[..], &write_row(kv)[..])?,
                None => objects.remove(&key[..])?,
            };
        }
    }
    txn.commit()?;
    Ok(())
}
