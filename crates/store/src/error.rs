//! What can go wrong, one enum an operation.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use crate::Revision;

/// Why a read failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    #[error("revision {requested} has been compacted, history starts at {compacted}")]
    Compacted { requested: Revision, compacted: Revision },
    #[error("revision {requested} is in the future, the store is at {current}")]
    Future { requested: Revision, current: Revision },
    #[error("the store cannot be reached")]
    Unavailable { source: Arc<dyn Error + Send + Sync> },
}

/// Why a transaction was not applied.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TxnError {
    #[error("the transaction writes key {key:?} twice")]
    DuplicateKey { key: String },
    #[error("no space left on the disk of {}", path.display())]
    DiskFull { path: PathBuf, source: Arc<dyn Error + Send + Sync> },
    #[error("cannot write to the store at {}", path.display())]
    Write { path: PathBuf, source: Arc<dyn Error + Send + Sync> },
    /// Whether the transaction was applied is not known.
    #[error("the store was lost before it answered")]
    Unavailable { source: Arc<dyn Error + Send + Sync> },
    #[error("the store is closed")]
    Closed,
}

/// Why a watch did not start, or ended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WatchError {
    #[error("revision {requested} has been compacted, history starts after {compacted}")]
    Compacted { requested: Revision, compacted: Revision },
    #[error("the store cannot be reached")]
    Unavailable { source: Arc<dyn Error + Send + Sync> },
    #[error("the store is closed")]
    Closed,
}

/// Why history was not dropped.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CompactError {
    #[error("revision {requested} is in the future, the store is at {current}")]
    Future { requested: Revision, current: Revision },
    #[error("cannot write relaxed changes before compacting")]
    Write { source: TxnError },
    #[error("the store cannot be reached")]
    Unavailable { source: Arc<dyn Error + Send + Sync> },
}

/// Why a store on disk could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot create the folder {}", path.display())]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("cannot open {}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("another dromon uses {}", path.display())]
    Locked { path: PathBuf },
    #[error("the store {} is damaged", path.display())]
    Damaged { path: PathBuf, source: Box<dyn Error + Send + Sync> },
    #[error("the store {} has format {found}, this program reads format {known}", path.display())]
    Format { path: PathBuf, found: u64, known: u64 },
    #[error("cannot read the store {}", path.display())]
    Read { path: PathBuf, source: Box<dyn Error + Send + Sync> },
    #[error("cannot write to the store {}", path.display())]
    Write { path: PathBuf, source: Box<dyn Error + Send + Sync> },
    #[error("cannot start the writer's thread")]
    Thread { source: std::io::Error },
}
