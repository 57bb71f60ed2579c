//! The Accept header: an encoding, and the form that the objects take.

use http::{HeaderMap, header};

use super::{ALL, JSON, PROTOBUF, YAML};
use crate::error::{ApiError, Result};

/// How bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    Json,
    Yaml,
    Protobuf,
}

/// What the objects are turned into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// As they are.
    Object,
    /// A `Table` of columns, as kubectl prints.
    Table,
    /// `PartialObjectMetadata`, or the list of it.
    Metadata,
}

/// The best that the client accepts and the server can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Accepted {
    pub encoding: Encoding,
    pub form: Form,
}

impl Encoding {
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::Yaml => YAML,
            Self::Protobuf => PROTOBUF,
        }
    }
}

/// Which forms a handler can make besides the object itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forms {
    All,
    /// Of custom objects, which have no protobuf but for their metadata.
    Custom,
    ObjectOnly,
}

/// Chooses; an absent header accepts everything.
///
/// # Errors
/// 406 when nothing fits.
pub fn accept(headers: &HeaderMap, forms: Forms) -> Result<Accepted> {
    let mut ranges: Vec<Range> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .map(Range::parse)
        .filter(|range| !range.media.is_empty())
        .collect();
    if ranges.is_empty() {
        return Ok(Accepted { encoding: Encoding::Json, form: Form::Object });
    }
    // Stable: of equals, the first that the client names wins.
    ranges.sort_by_key(|range| std::cmp::Reverse(range.quality));
    let found = ranges.iter().find_map(|range| range.accepted(forms));
    found.ok_or_else(|| ApiError::not_acceptable(&ALL))
}

/// One entry of the header.
struct Range {
    media: String,
    quality: u32,
    form: Option<String>,
    group: Option<String>,
    version: Option<String>,
}

impl Range {
    fn parse(text: &str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().unwrap_or("").to_ascii_lowercase();
        let mut range = Self { media, quality: 1000, form: None, group: None, version: None };
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            match key.trim() {
                // A quality that is no number counts as the default.
                "q" => range.quality = value.parse::<f32>().map_or(1000, |q| (q * 1000.0) as u32),
                "as" => range.form = Some(value.to_string()),
                "g" => range.group = Some(value.to_string()),
                "v" => range.version = Some(value.to_string()),
                _ => {}
            }
        }
        range
    }

    fn accepted(&self, forms: Forms) -> Option<Accepted> {
        let encoding = match self.media.as_str() {
            JSON | "*/*" | "application/*" => Encoding::Json,
            YAML => Encoding::Yaml,
            PROTOBUF => Encoding::Protobuf,
            _ => return None,
        };
        let form = match self.form.as_deref() {
            None | Some("") => Form::Object,
            Some(_) if forms == Forms::ObjectOnly => return None,
            Some(name) => self.form_named(name)?,
        };
        if forms == Forms::Custom && encoding == Encoding::Protobuf && form != Form::Metadata {
            return None;
        }
        // Upstream registers no protobuf codec for Table.
        let possible = !(form == Form::Table && encoding == Encoding::Protobuf);
        possible.then_some(Accepted { encoding, form })
    }

    fn form_named(&self, name: &str) -> Option<Form> {
        let meta = self.group.as_deref() == Some("meta.k8s.io")
            && matches!(self.version.as_deref(), Some("v1" | "v1beta1"));
        match name {
            "Table" if meta => Some(Form::Table),
            "PartialObjectMetadata" | "PartialObjectMetadataList" if meta => Some(Form::Metadata),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_that_both_sides_know() {
        let cases = [
            ("", "Json Object"),
            ("*/*", "Json Object"),
            ("application/yaml", "Yaml Object"),
            ("text/html, application/*;q=0.5", "Json Object"),
            ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "Json Table"),
            ("application/json;as=Table;v=v2;g=meta.k8s.io,application/json", "Json Object"),
            ("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io", "406"),
            (
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
                "Protobuf Metadata",
            ),
            ("application/json;q=0.1, application/vnd.kubernetes.protobuf", "Protobuf Object"),
            ("application/cbor", "406"),
        ];
        for (header, expected) in cases {
            let mut headers = HeaderMap::new();
            if !header.is_empty() {
                headers.insert(header::ACCEPT, header.parse().expect("header"));
            }
            let got = match accept(&headers, Forms::All) {
                Ok(accepted) => format!("{:?} {:?}", accepted.encoding, accepted.form),
                Err(error) => error.code().to_string(),
            };
            assert_eq!(got, expected, "{header}");
        }
    }
}
