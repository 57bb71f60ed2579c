//! Sends a container's log, across rotations, and what is still being written if asked.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::inotify::WatchFlags;
use tokio::sync::mpsc;

use super::line::{self, Line};
use super::options::Options;
use super::tail;
use crate::watch::FolderWatch;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("failed to open log file {path:?}")]
    Open { path: PathBuf, source: io::Error },
    #[error("failed to read log file {path:?}")]
    Read { path: PathBuf, source: io::Error },
    #[error("failed to watch log file {path:?}")]
    Watch { path: PathBuf, source: io::Error },
}

/// Where the text goes; full for as long as the reader at the other end is slow.
pub(crate) type Sink = mpsc::Sender<Bytes>;

/// Whether there is more to do.
#[derive(PartialEq)]
enum Flow {
    On,
    /// The reader went away, or has all the bytes that it asked for.
    Stop,
}

/// The rotated files of a log, oldest first, then the log itself.
pub(crate) fn files(path: &Path) -> Vec<PathBuf> {
    let mut rotated = super::rotate::rotated(path);
    rotated.push(path.into());
    rotated
}

/// Sends what `options` pick; with follow until `ended` is done and all is read.
pub(crate) async fn send(
    path: &Path,
    options: &Options,
    sink: &Sink,
    ended: impl Future<Output = ()>,
) -> Result<(), ReadError> {
    let mut sender = Sender { options, sink, left: options.limit_bytes, buffer: Vec::new(), mid_line: false };
    // The watch is there before the first read: nothing written in between is missed.
    let watch = if options.follow { Some(watch(path)?) } else { None };
    let all = files(path);
    let (skip, offset) = start(&all, options.tail)?;
    let mut reader = None;
    for (index, file) in all.iter().enumerate().skip(skip) {
        let mut opened = match File::open(file) {
            // Rotated away meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound && index + 1 < all.len() => continue,
            other => other.map_err(|source| ReadError::Open { path: file.clone(), source })?,
        };
        if index == skip {
            opened
                .seek(SeekFrom::Start(offset))
                .map_err(|source| ReadError::Read { path: file.clone(), source })?;
        }
        let mut lines = BufReader::new(opened);
        if sender.drain(file, &mut lines).await? == Flow::Stop {
            return Ok(());
        }
        reader = Some(lines);
    }
    match (watch, reader) {
        (Some(watch), Some(reader)) => sender.follow(path, reader, watch, ended).await,
        _ => Ok(()),
    }
}

/// The first file and the offset in it for the last `lines`.
fn start(files: &[PathBuf], lines: Option<usize>) -> Result<(usize, u64), ReadError> {
    let Some(mut wanted) = lines else { return Ok((0, 0)) };
    for (index, path) in files.iter().enumerate().rev() {
        let mut file = File::open(path).map_err(|source| ReadError::Open { path: path.clone(), source })?;
        let (offset, found) = tail::offset(&mut file, wanted)
            .map_err(|source| ReadError::Read { path: path.clone(), source })?;
        if found >= wanted || index == 0 {
            return Ok((index, offset));
        }
        wanted -= found;
    }
    Ok((0, 0))
}

struct Sender<'a> {
    options: &'a Options,
    sink: &'a Sink,
    left: Option<u64>,
    /// A line that the runtime has not finished writing.
    buffer: Vec<u8>,
    mid_line: bool,
}

impl Sender<'_> {
    /// Sends every whole line up to the end of the file.
    async fn drain(&mut self, path: &Path, reader: &mut BufReader<File>) -> Result<Flow, ReadError> {
        let mut out = Vec::new();
        loop {
            let read = reader
                .read_until(b'\n', &mut self.buffer)
                .map_err(|source| ReadError::Read { path: path.into(), source })?;
            let whole = self.buffer.last() == Some(&b'\n');
            if whole {
                self.format(&mut out);
            }
            if (!whole || out.len() > 32 << 10) && self.flush(&mut out).await == Flow::Stop {
                return Ok(Flow::Stop);
            }
            if read == 0 || !whole {
                return Ok(Flow::On);
            }
        }
    }

    fn format(&mut self, out: &mut Vec<u8>) {
        let raw = std::mem::take(&mut self.buffer);
        let Some(line) = line::parse(raw.strip_suffix(b"\n").unwrap_or(&raw)) else { return };
        if !self.wanted(&line) {
            return;
        }
        if self.options.timestamps && !self.mid_line {
            out.extend_from_slice(line.time.as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(line.text);
        if !line.partial {
            out.push(b'\n');
        }
        self.mid_line = line.partial;
    }

    fn wanted(&self, line: &Line<'_>) -> bool {
        let stream = self.options.stream.as_deref().is_none_or(|stream| stream == line.stream);
        stream && self.options.since.is_none_or(|since| line.at().is_none_or(|at| at >= since))
    }

    async fn flush(&mut self, out: &mut Vec<u8>) -> Flow {
        let mut bytes = std::mem::take(out);
        if let Some(left) = &mut self.left {
            bytes.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= bytes.len() as u64;
        }
        if !bytes.is_empty() && self.sink.send(bytes.into()).await.is_err() {
            return Flow::Stop;
        }
        if self.left == Some(0) { Flow::Stop } else { Flow::On }
    }

    async fn follow(
        &mut self,
        path: &Path,
        mut reader: BufReader<File>,
        mut watch: FolderWatch,
        ended: impl Future<Output = ()>,
    ) -> Result<(), ReadError> {
        tokio::pin!(ended);
        loop {
            if self.drain(path, &mut reader).await? == Flow::Stop {
                return Ok(());
            }
            if let Some(fresh) = reopened(path, reader.get_ref())? {
                // The old file may have got its last lines between the read and the rename.
                self.drain(path, &mut reader).await?;
                reader = BufReader::new(fresh);
                continue;
            }
            tokio::select! {
                () = &mut ended => return self.drain(path, &mut reader).await.map(drop),
                () = self.sink.closed() => return Ok(()),
                changed = watch.changed() => changed.map_err(|source| ReadError::Watch { path: path.into(), source })?,
            }
        }
    }
}

/// The file that stands at `path` now, if it is another one.
fn reopened(path: &Path, open: &File) -> Result<Option<File>, ReadError> {
    use std::os::unix::fs::MetadataExt;
    let fresh = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ReadError::Open { path: path.into(), source }),
    };
    let inode = |file: &File| file.metadata().map(|m| m.ino());
    let read = |source| ReadError::Read { path: path.into(), source };
    let same = inode(&fresh).map_err(read)? == inode(open).map_err(read)?;
    Ok((!same).then_some(fresh))
}

fn watch(path: &Path) -> Result<FolderWatch, ReadError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let what = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO;
    FolderWatch::new(folder, what).map_err(|source| ReadError::Watch { path: path.into(), source })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    async fn read(path: &Path, options: Options) -> String {
        let (sink, mut out) = mpsc::channel(100);
        send(path, &options, &sink, std::future::ready(())).await.expect("reads");
        drop(sink);
        let mut text = Vec::new();
        while let Some(bytes) = out.recv().await {
            text.extend_from_slice(&bytes);
        }
        String::from_utf8(text).expect("text")
    }

    fn line(second: u32, text: &str) -> String {
        format!("2026-01-01T00:00:{second:02}Z stdout F {text}\n")
    }

    #[tokio::test]
    async fn picks_across_rotations() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("0.log");
        std::fs::write(dir.path().join("0.log.20260101-000001"), line(1, "a") + &line(2, "b"))
            .expect("written");
        let partial = "2026-01-01T00:00:03Z stderr P c\n2026-01-01T00:00:03Z stderr F d\n";
        std::fs::write(&path, format!("{partial}{}", line(4, "e"))).expect("written");
        let all = Options::default();
        assert_eq!(read(&path, all.clone()).await, "a\nb\ncd\ne\n");
        assert_eq!(read(&path, Options { tail: Some(1), ..all.clone() }).await, "e\n");
        assert_eq!(read(&path, Options { tail: Some(4), ..all.clone() }).await, "b\ncd\ne\n");
        assert_eq!(read(&path, Options { limit_bytes: Some(3), ..all.clone() }).await, "a\nb");
        assert_eq!(read(&path, Options { stream: Some("stderr".into()), ..all.clone() }).await, "cd\n");
        let since = "2026-01-01T00:00:04Z".parse().expect("a time");
        let late = Options { since: Some(since), timestamps: true, ..all };
        assert_eq!(read(&path, late).await, "2026-01-01T00:00:04Z e\n");
    }

    #[tokio::test]
    async fn follows_through_a_rotation() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("0.log");
        std::fs::write(&path, line(1, "a")).expect("written");
        let (sink, mut out) = mpsc::channel(100);
        let (done, ended) = tokio::sync::oneshot::channel::<()>();
        let options = Options { follow: true, ..Options::default() };
        let reading = send(&path, &options, &sink, async move {
            ended.await.expect("told");
        });
        let writing = async {
            assert_eq!(out.recv().await.expect("more"), "a\n");
            let mut file = std::fs::OpenOptions::new().append(true).open(&path).expect("opened");
            file.write_all(line(2, "b").as_bytes()).expect("written");
            assert_eq!(out.recv().await.expect("more"), "b\n");
            std::fs::rename(&path, dir.path().join("0.log.20260101-000001")).expect("renamed");
            std::fs::write(&path, line(3, "c")).expect("written");
            assert_eq!(out.recv().await.expect("more"), "c\n");
            done.send(()).expect("listens");
        };
        let (result, ()) = tokio::join!(reading, writing);
        result.expect("reads");
    }
}
