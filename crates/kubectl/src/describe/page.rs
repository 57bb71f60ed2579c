//! Lines with tabs between their cells, laid out in the end.

use serde_json::Value;

use crate::text;

#[derive(Default)]
pub struct Page {
    text: String,
}

impl Page {
    pub fn new() -> Self {
        Self::default()
    }

    /// One line, `level` steps in.
    pub fn line(&mut self, level: usize, line: impl AsRef<str>) {
        const STEPS: [&str; 5] = ["", "  ", "    ", "      ", "        "];
        self.text.push_str(STEPS.get(level).copied().unwrap_or(STEPS[4]));
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }

    pub fn field(&mut self, level: usize, name: &str, value: impl AsRef<str>) {
        self.line(level, format!("{name}:\t{}", value.as_ref()));
    }

    /// A map, one pair a line, the first beside its name.
    pub fn pairs(&mut self, indent: &str, name: &str, map: &Value, between: &str) {
        self.listed(indent, name, pairs(map, between));
    }

    /// Texts below each other, the first beside their name.
    pub fn listed(&mut self, indent: &str, name: &str, lines: Vec<String>) {
        if lines.is_empty() {
            self.text.push_str(&format!("{indent}{name}:\t<none>\n"));
        }
        for (at, line) in lines.iter().enumerate() {
            let head = if at == 0 { format!("{indent}{name}:") } else { String::new() };
            self.text.push_str(&format!("{head}\t{line}\n"));
        }
    }

    /// Labels and annotations.
    pub fn labels(&mut self, metadata: &Value) {
        self.pairs("", "Labels", &metadata["labels"], "=");
        self.annotations(metadata);
    }

    pub fn annotations(&mut self, metadata: &Value) {
        self.listed("", "Annotations", annotation_lines("", &metadata["annotations"]));
    }

    /// Lines written elsewhere.
    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// With its tabs.
    pub fn raw(self) -> String {
        self.text
    }

    pub fn finish(self) -> String {
        text::tabbed(&self.text)
    }
}

fn pairs(map: &Value, between: &str) -> Vec<String> {
    let entries = map.as_object().into_iter().flatten();
    entries.map(|(name, value)| format!("{name}{between}{}", value.as_str().unwrap_or(""))).collect()
}

/// Long values start below their names; the note of `apply` is not shown.
pub fn annotation_lines(indent: &str, map: &Value) -> Vec<String> {
    const LONGEST: usize = 140;
    let entries =
        map.as_object().into_iter().flatten().filter(|(name, _)| *name != crate::change::LAST_APPLIED);
    let mut lines = Vec::new();
    for (name, value) in entries {
        let value = value.as_str().unwrap_or("").trim_end_matches('\n');
        if (value.len() + name.len() + 2 < LONGEST || value.is_empty()) && !value.contains('\n') {
            lines.push(format!("{indent}{name}: {value}"));
            continue;
        }
        lines.push(format!("{indent}{name}:"));
        lines.extend(value.split('\n').map(|line| {
            let shown: String = line.chars().take(LONGEST - 2).collect();
            let more = if shown.len() < line.len() { "..." } else { "" };
            format!("{indent}  {shown}{more}")
        }));
    }
    lines
}

/// `x`, or `<none>`.
pub fn or_none(text: &str) -> &str {
    if text.is_empty() { "<none>" } else { text }
}

pub fn text_at<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or("")
}

pub fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A value as it is written: texts without quotes.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        value => crate::print::json::go_plain(value),
    }
}

/// `a=b,c=d`, or `<none>`.
pub fn selector(map: &Value) -> String {
    let all = pairs(map, "=");
    if all.is_empty() { "<none>".into() } else { all.join(",") }
}
