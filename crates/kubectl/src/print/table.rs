//! Tables as the server makes them, laid out for people.
//!
//! Upstream: cli-runtime/pkg/printers/tableprinter.go, kubectl/pkg/cmd/get/get.go.

use std::io::IsTerminal;

use serde_json::Value;

use super::json;
use crate::text;

/// What is shown of a table.
#[derive(Clone, Debug, Default)]
pub struct Look {
    pub wide: bool,
    pub no_headers: bool,
    pub show_labels: bool,
    pub label_columns: Vec<String>,
    pub with_namespace: bool,
    /// `pod`, `deployment.apps`: stands before names.
    pub kind: Option<String>,
}

/// Columns of a table, kept for rows that come without (a watch).
#[derive(Clone, Debug, Default)]
pub struct Header(Vec<Value>);

impl Header {
    /// Takes the table's own columns, where it has some.
    pub fn update(&mut self, table: &Value) {
        if let Some(columns) = table["columnDefinitions"].as_array().filter(|columns| !columns.is_empty()) {
            self.0.clone_from(columns);
        }
    }

    fn shown(&self, look: &Look) -> impl Iterator<Item = (usize, &Value)> {
        let wide = look.wide;
        self.0
            .iter()
            .enumerate()
            .filter(move |(_, column)| wide || column["priority"].as_i64().unwrap_or(0) == 0)
    }

    fn cells(&self, look: &Look) -> Vec<String> {
        let mut cells = Vec::new();
        if look.with_namespace {
            cells.push("NAMESPACE".into());
        }
        cells
            .extend(self.shown(look).map(|(_, column)| column["name"].as_str().unwrap_or("").to_uppercase()));
        let label = |name: &String| name.rsplit('/').next().unwrap_or(name).to_uppercase();
        cells.extend(look.label_columns.iter().map(label));
        if look.show_labels {
            cells.push("LABELS".into());
        }
        cells
    }

    /// The lines of `rows`, with headers where `look` wants them.
    pub fn lay_out(&self, rows: &[Value], look: &Look) -> String {
        let mut lines = Vec::new();
        if !look.no_headers {
            lines.push(self.cells(look));
        }
        lines.extend(rows.iter().map(|row| self.row(row, look)));
        let laid_out = text::columns(&lines);
        if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
            colored(&laid_out)
        } else {
            laid_out
        }
    }

    fn row(&self, row: &Value, look: &Look) -> Vec<String> {
        let metadata = &row["object"]["metadata"];
        let mut cells = Vec::new();
        if look.with_namespace {
            cells.push(metadata["namespace"].as_str().unwrap_or("").to_owned());
        }
        for (at, column) in self.shown(look) {
            let cell = cell(&row["cells"][at]);
            let is_name = column["format"] == "name" || at == 0 && column["name"] == "Name";
            match &look.kind {
                Some(kind) if is_name => cells.push(format!("{kind}/{cell}")),
                _ => cells.push(cell),
            }
        }
        let label = |name: &String| metadata["labels"][name].as_str().unwrap_or("").to_owned();
        cells.extend(look.label_columns.iter().map(label));
        if look.show_labels {
            cells.push(labels(&metadata["labels"]));
        }
        cells
    }
}

/// One line at most.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => match text.find(['\n', '\r', '\u{c}']) {
            Some(end) => format!("{}...", &text[..end]),
            None => text.clone(),
        },
        value => json::go_plain(value),
    }
}

/// `a=1,b=2`, or `<none>`.
pub fn labels(labels: &Value) -> String {
    let pairs: Vec<String> = labels
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or("")))
        .collect();
    if pairs.is_empty() { "<none>".into() } else { pairs.join(",") }
}

const GOOD: &[&str] =
    &["Running", "Ready", "Active", "Bound", "Available", "Complete", "Completed", "Succeeded", "True"];
const UNDER_WAY: &[&str] =
    &["Pending", "ContainerCreating", "Terminating", "PodInitializing", "Released", "Unknown", "NotReady"];
const BAD: &[&str] = &[
    "Error",
    "Failed",
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "OOMKilled",
    "CreateContainerConfigError",
    "CreateContainerError",
    "InvalidImageName",
    "Evicted",
    "Lost",
];

/// States stand out on a terminal.
fn colored(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for part in text.split_inclusive([' ', '\n']) {
        let word = part.trim_end_matches([' ', '\n']);
        let color = match word {
            _ if word.is_empty() => None,
            _ if GOOD.contains(&word) => Some(32),
            _ if UNDER_WAY.contains(&word) || word.starts_with("Init:") => Some(33),
            _ if BAD.contains(&word) => Some(31),
            _ => None,
        };
        match color {
            Some(color) => out.push_str(&format!("\u{1b}[{color}m{word}\u{1b}[0m{}", &part[word.len()..])),
            None => out.push_str(part),
        }
    }
    out
}
