//! Where the last lines of a log begin.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use super::line::parse;

const BLOCK: u64 = 16 << 10;

/// The offset at which the last `lines` lines of `file` begin, and how many it has if fewer.
pub(crate) fn offset(file: &mut File, lines: usize) -> io::Result<(u64, usize)> {
    let mut at = file.seek(SeekFrom::End(0))?;
    if lines == 0 {
        return Ok((at, 0));
    }
    let mut seen = 0;
    let mut first = true;
    while at > 0 {
        let from = at.saturating_sub(BLOCK);
        let mut block = vec![0; usize::try_from(at - from).unwrap_or_default()];
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(&mut block)?;
        for (index, _) in block.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            // The file's last line feed ends a line and begins none.
            if std::mem::take(&mut first) && from + index as u64 + 1 == file.metadata()?.len() {
                continue;
            }
            seen += 1;
            if seen == lines {
                return Ok((from + index as u64 + 1, lines));
            }
        }
        first = false;
        at = from;
    }
    Ok((0, seen + 1))
}

/// The text of the last lines, at most so many bytes.
pub(crate) fn last(path: &str, lines: usize, bytes: usize) -> io::Result<String> {
    let mut file = File::open(path)?;
    let (from, _) = offset(&mut file, lines)?;
    file.seek(SeekFrom::Start(from))?;
    let mut raw = Vec::new();
    file.read_to_end(&mut raw)?;
    let mut text = Vec::new();
    for line in raw.split(|byte| *byte == b'\n').filter_map(parse) {
        text.extend_from_slice(line.text);
        if !line.partial {
            text.push(b'\n');
        }
    }
    let from = text.len().saturating_sub(bytes);
    Ok(String::from_utf8_lossy(&text[from..]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_last_lines() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("log");
        for (text, lines, expected) in [
            ("a\nb\nc\n", 2, "b\nc\n"),
            ("a\nb\nc\n", 3, "a\nb\nc\n"),
            ("a\nb\nc\n", 9, "a\nb\nc\n"),
            ("a\nb\nc\n", 0, ""),
            ("a\nb\nc", 1, "c"),
            ("", 1, ""),
        ] {
            std::fs::write(&path, text).expect("written");
            let (from, _) = offset(&mut File::open(&path).expect("opened"), lines).expect("found");
            assert_eq!(&text[from as usize..], expected, "{text:?} {lines}");
        }
    }
}
