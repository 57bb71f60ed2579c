//! One line of a CRI log: `<RFC 3339 time> <stdout|stderr> <F|P> <text>`.

use jiff::Timestamp;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line<'a> {
    pub time: &'a str,
    pub stream: &'a str,
    /// The text goes on in the next line of the file.
    pub partial: bool,
    pub text: &'a [u8],
}

/// `None` for what is no log line; `raw` without its line feed.
pub(crate) fn parse(raw: &[u8]) -> Option<Line<'_>> {
    let mut parts = raw.splitn(4, |byte| *byte == b' ');
    let time = std::str::from_utf8(parts.next()?).ok()?;
    let stream = std::str::from_utf8(parts.next()?).ok()?;
    let tag = parts.next()?;
    let text = parts.next().unwrap_or_default();
    if !matches!(stream, "stdout" | "stderr") {
        return None;
    }
    Some(Line { time, stream, partial: tag.split(|b| *b == b':').next() == Some(b"P"), text })
}

impl Line<'_> {
    pub fn at(&self) -> Option<Timestamp> {
        self.time.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses() {
        let line = parse(b"2026-01-02T03:04:05.6Z stdout F hello  there").expect("a line");
        assert_eq!((line.stream, line.partial, line.text), ("stdout", false, &b"hello  there"[..]));
        assert!(parse(b"2026-01-02T03:04:05.6Z stderr P x").expect("a line").partial);
        assert_eq!(parse(b"2026-01-02T03:04:05.6Z stdout F").expect("a line").text, b"");
        assert!(parse(b"no log line").is_none());
    }
}
