//! Texts: escapes, tables with padded columns, durations and sizes as people read them.

use jiff::Timestamp;

/// Escapes what has a meaning in a path.
pub fn escape_path(text: &str) -> String {
    escape(text, |byte| byte.is_ascii_alphanumeric() || b"-_.~:@!$&'()*+,;=".contains(&byte))
}

/// Escapes what has a meaning in a query.
pub fn escape_query(text: &str) -> String {
    escape(text, |byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
}

fn escape(text: &str, is_plain: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_plain(byte) { out.push(char::from(byte)) } else { out.push_str(&format!("%{byte:02X}")) }
    }
    out
}

/// `?a=b&c=d` of the pairs that have a value; empty without any.
pub fn query(pairs: &[(&str, &str)]) -> String {
    let set: Vec<String> = pairs
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}={}", escape_query(value)))
        .collect();
    if set.is_empty() { String::new() } else { format!("?{}", set.join("&")) }
}

/// Lines of cells with columns as wide as upstream's table writer makes them: six at least, three between.
pub fn columns(rows: &[Vec<String>]) -> String {
    Columns { least: 6, gap: 3 }.lay_out(rows)
}

/// A table writer: how wide a column is at least, and the gap behind its longest cell.
pub struct Columns {
    pub least: usize,
    pub gap: usize,
}

impl Columns {
    pub fn lay_out(&self, rows: &[Vec<String>]) -> String {
        let widths = self.widths(rows);
        let mut out = String::new();
        for row in rows {
            for (column, cell) in row.iter().enumerate() {
                out.push_str(cell);
                if column + 1 < row.len() {
                    let width = widths.get(column).copied().unwrap_or(0);
                    out.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
                }
            }
            out.push('\n');
        }
        out
    }

    pub fn widths(&self, rows: &[Vec<String>]) -> Vec<usize> {
        let mut widths: Vec<usize> = Vec::new();
        for row in rows {
            // The last cell of a line widens no column.
            for (column, cell) in row.iter().take(row.len().saturating_sub(1)).enumerate() {
                let width = (cell.chars().count() + self.gap).max(self.least);
                match widths.get_mut(column) {
                    Some(known) => *known = width.max(*known),
                    None => widths.push(width),
                }
            }
        }
        widths
    }
}

/// Time since then, in the two largest units: apimachinery's HumanDuration.
pub fn age(seconds: i64) -> String {
    let minutes = seconds / 60;
    let hours = seconds / 3600;
    let days = hours / 24;
    let both = |big: i64, unit: &str, small: i64, other: &str| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{other}") }
    };
    match seconds {
        ..=-2 => "<invalid>".into(),
        -1..=0 => "0s".into(),
        1..=119 => format!("{seconds}s"),
        _ if minutes < 10 => both(minutes, "m", seconds % 60, "s"),
        _ if hours < 3 => format!("{minutes}m"),
        _ if hours < 8 => both(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if days < 8 => both(days, "d", hours % 24, "h"),
        _ if days < 365 * 2 => format!("{days}d"),
        _ if days < 365 * 8 => both(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

/// Time since an RFC 3339 stamp; `<unknown>` without one.
pub fn since(stamp: &str, now: Timestamp) -> String {
    match stamp.parse::<Timestamp>() {
        Ok(then) => age(now.as_second() - then.as_second()),
        Err(_) => "<unknown>".into(),
    }
}

/// An RFC 3339 stamp as `Mon, 02 Jan 2006 15:04:05 -0700`.
pub fn date(stamp: &str) -> String {
    match stamp.parse::<Timestamp>() {
        Ok(then) => {
            let zoned = then.to_zoned(jiff::tz::TimeZone::system());
            zoned.strftime("%a, %d %b %Y %H:%M:%S %z").to_string()
        }
        Err(_) => "<unset>".into(),
    }
}

/// Lays out cells that end in tabs: each block of neighbouring lines has columns of its own, as Go's tabwriter makes them.
pub fn tabbed(text: &str) -> String {
    let lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split('\t').collect()).collect();
    let mut out = String::new();
    Tabs { lines: &lines, out: &mut out }.format(0, lines.len(), &mut Vec::new());
    // The last line break ends the last line and starts none.
    out.pop();
    out
}

struct Tabs<'a> {
    lines: &'a [Vec<&'a str>],
    out: &'a mut String,
}

impl Tabs<'_> {
    fn format(&mut self, from: usize, to: usize, widths: &mut Vec<usize>) {
        let column = widths.len();
        let has_column = |line: &Vec<&str>| column + 1 < line.len();
        let (mut written, mut at) = (from, from);
        while at < to {
            if !has_column(&self.lines[at]) {
                at += 1;
                continue;
            }
            self.write(written, at, widths);
            let block = at;
            let mut width = 0;
            while at < to && has_column(&self.lines[at]) {
                width = width.max(self.lines[at][column].chars().count() + 2);
                at += 1;
            }
            widths.push(width);
            self.format(block, at, widths);
            widths.pop();
            written = at;
        }
        self.write(written, to, widths);
    }

    fn write(&mut self, from: usize, to: usize, widths: &[usize]) {
        for line in &self.lines[from..to] {
            for (column, cell) in line.iter().enumerate() {
                self.out.push_str(cell);
                if let Some(width) = widths.get(column).filter(|_| column + 1 < line.len()) {
                    self.out.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
                }
            }
            self.out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_columns_of_their_own() {
        assert_eq!(
            tabbed("Name:\ta\nLong name:\tb\nplain\nX:\ty\n"),
            "Name:       a\nLong name:  b\nplain\nX:  y\n"
        );
        assert_eq!(
            columns(&[vec!["NAME".into(), "AGE".into()], vec!["abcdef".into(), "1s".into()]]),
            "NAME     AGE\nabcdef   1s\n"
        );
    }

    #[test]
    fn ages_are_short() {
        for (seconds, told) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (3600, "60m"),
            (10_800, "3h"),
            (30_000, "8h"),
            (200_000, "2d7h"),
            (900_000, "10d"),
        ] {
            assert_eq!(age(seconds), told);
        }
    }
}
