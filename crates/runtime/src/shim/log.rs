//! Container logs in the CRI format: `<time> stdout|stderr F|P <text>`.
//!
//! Upstream: kubelet pkg/kubelet/kuberuntime/logs; containerd internal/cri/io/logger.go.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// Longer lines are written in parts, all but the last marked `P`.
const LONGEST: usize = 16 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// Cuts one stream into lines.
#[derive(Debug)]
pub struct Lines {
    stream: Stream,
    partial: Vec<u8>,
}

impl Lines {
    pub fn new(stream: Stream) -> Self {
        Self { stream, partial: Vec::new() }
    }

    pub fn stream(&self) -> Stream {
        self.stream
    }

    /// Appends to `out` what `data` completes.
    pub fn push(&mut self, data: &[u8], now: Timestamp, out: &mut Vec<u8>) {
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            while self.partial.len() > LONGEST {
                let rest = self.partial.split_off(LONGEST);
                let part = std::mem::replace(&mut self.partial, rest);
                self.write('P', &part, now, out);
            }
            if self.partial.last() == Some(&b'\n') {
                let line = std::mem::take(&mut self.partial);
                self.write('F', &line[..line.len() - 1], now, out);
            }
        }
    }

    /// The end of the stream completes its last line.
    pub fn finish(&mut self, now: Timestamp, out: &mut Vec<u8>) {
        if !self.partial.is_empty() {
            let line = std::mem::take(&mut self.partial);
            self.write('F', &line, now, out);
        }
    }

    fn write(&self, tag: char, text: &[u8], now: Timestamp, out: &mut Vec<u8>) {
        let stream = match self.stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        out.extend_from_slice(format!("{now:.9} {stream} {tag} ").as_bytes());
        out.extend_from_slice(text);
        out.push(b'\n');
    }
}

/// A log file that can be moved away and opened anew.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
}

impl LogFile {
    pub fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        Ok(Self { path: path.to_owned(), file: append(path)? })
    }

    /// Whole lines only, so that a reader never sees half of one and rotation never splits one.
    pub fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.file.write_all(lines)
    }

    pub fn reopen(&mut self) -> io::Result<()> {
        self.file = append(&self.path)?;
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options().create(true).append(true).mode(0o640).open(path)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn lines_are_tagged_and_long_ones_split() {
        let now: Timestamp = "2026-01-02T03:04:05.000000006Z".parse().unwrap();
        let (mut lines, mut out) = (Lines::new(Stream::Stdout), Vec::new());
        lines.push(b"one\ntw", now, &mut out);
        lines.push(b"o\n\nthree", now, &mut out);
        lines.finish(now, &mut out);
        expect![[r#"
            2026-01-02T03:04:05.000000006Z stdout F one
            2026-01-02T03:04:05.000000006Z stdout F two
            2026-01-02T03:04:05.000000006Z stdout F 
            2026-01-02T03:04:05.000000006Z stdout F three
        "#]]
        .assert_eq(std::str::from_utf8(&out).unwrap());

        let (mut lines, mut out) = (Lines::new(Stream::Stderr), Vec::new());
        lines.push(&[b'x'; LONGEST + 1], now, &mut out);
        lines.push(b"\n", now, &mut out);
        let tags: Vec<_> = std::str::from_utf8(&out).unwrap().lines().map(|l| &l[31..39]).collect();
        assert_eq!(tags, ["stderr P", "stderr F"]);
    }
}
