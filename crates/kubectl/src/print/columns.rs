//! Custom columns: `NAME:.metadata.name,…`.

use serde_json::Value;

use super::json;
use super::jsonpath::JsonPath;
use crate::error::{Error, Result};
use crate::text;

pub struct Spec {
    columns: Vec<(String, JsonPath)>,
}

impl Spec {
    /// # Errors
    /// A column without a path, or with a wrong one.
    pub fn parse(spec: &str) -> Result<Self> {
        let mut columns = Vec::new();
        for part in spec.split(',') {
            let Some((header, path)) = part.split_once(':') else {
                return Err(Error::said(format!(
                    "unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>"
                )));
            };
            columns.push((header.to_owned(), relaxed(path)?));
        }
        Ok(Self { columns })
    }

    /// Headers in the first line, paths below them in the second.
    ///
    /// # Errors
    /// Lines that are missing or of different lengths.
    pub fn parse_file(text: &str) -> Result<Self> {
        let mut lines = text.lines();
        let (Some(headers), Some(paths)) = (lines.next(), lines.next()) else {
            return Err(Error::said(
                "invalid template, missing second line. Expect first line to be a header line, and second line to be a jsonpath line",
            ));
        };
        let (headers, paths): (Vec<&str>, Vec<&str>) =
            (headers.split_whitespace().collect(), paths.split_whitespace().collect());
        if headers.len() != paths.len() {
            return Err(Error::said(format!(
                "number of headers ({}) and field specifications ({}) don't match",
                headers.len(),
                paths.len()
            )));
        }
        let columns: Result<Vec<_>> = headers
            .iter()
            .zip(&paths)
            .map(|(header, path)| Ok(((*header).to_owned(), relaxed(path)?)))
            .collect();
        Ok(Self { columns: columns? })
    }

    /// # Errors
    /// An index beyond a list's end.
    pub fn print(&self, object: &Value, header: bool) -> Result<String> {
        let mut rows = Vec::new();
        if header {
            rows.push(self.columns.iter().map(|(header, _)| header.clone()).collect());
        }
        match object["items"]
            .as_array()
            .filter(|_| object["kind"].as_str().is_some_and(|k| k.ends_with("List")))
        {
            Some(items) => {
                for item in items {
                    rows.push(self.row(item)?);
                }
            }
            None => rows.push(self.row(object)?),
        }
        Ok(text::columns(&rows))
    }

    fn row(&self, object: &Value) -> Result<Vec<String>> {
        let cell = |(_, path): &(String, JsonPath)| -> Result<String> {
            // What the object does not reach is shown as missing.
            let values = path.values(object, true).unwrap_or_default();
            if values.is_empty() {
                return Ok("<none>".into());
            }
            let texts: Vec<String> = values.iter().map(json::go_plain).collect();
            Ok(texts.join(","))
        };
        self.columns.iter().map(cell).collect()
    }
}

fn relaxed(path: &str) -> Result<JsonPath> {
    JsonPath::parse_relaxed(path).map_err(Error::Said)
}
