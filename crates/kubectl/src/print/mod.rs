//! Objects as text: every format that `-o` knows.
//!
//! Upstream: cli-runtime/pkg/printers, kubectl/pkg/cmd/get. Reading order: [`Format`], [`Printer`], [`json`], [`kyaml`],
//! [`jsonpath`], [`template`], [`columns`], [`table`].

pub mod columns;
pub mod json;
pub mod jsonpath;
pub mod kyaml;
pub mod sort;
pub mod table;
pub mod template;

use serde_json::Value;

use crate::context::Context;
use crate::error::{Error, Result};

use jsonpath::JsonPath;
use template::Template;

/// What `-o` asks for.
pub enum Format {
    /// A table, or the sentence about what was done.
    Plain,
    Wide,
    Json,
    Yaml,
    Kyaml,
    Name,
    JsonPath {
        path: JsonPath,
        source: String,
        as_json: bool,
    },
    Template {
        template: Template,
        source: String,
    },
    Columns(columns::Spec),
}

const FORMATS: &str = "go-template,go-template-file,json,jsonpath,jsonpath-as-json,jsonpath-file,kyaml,name,template,templatefile,yaml";
const TABLE_FORMATS: &str = "custom-columns,custom-columns-file,go-template,go-template-file,json,jsonpath,jsonpath-as-json,jsonpath-file,kyaml,name,template,templatefile,wide,yaml";

impl Format {
    /// By `--output` and `--template`.
    ///
    /// # Errors
    /// A format that is not known, or a template that is none.
    pub fn of(cx: &Context) -> Result<Self> {
        Self::read(cx, false)
    }

    /// The same where tables are printed.
    ///
    /// # Errors
    /// As [`Format::of`].
    pub fn of_table(cx: &Context) -> Result<Self> {
        Self::read(cx, true)
    }

    fn read(cx: &Context, has_table: bool) -> Result<Self> {
        let output = cx.flags.text("output");
        let flag = cx.flags.text("template");
        let (name, value) = output.split_once('=').unwrap_or((output, ""));
        let value = if value.is_empty() { flag } else { value };
        let need = |what: &str| {
            if value.is_empty() {
                Err(Error::said(format!("{what} format specified but no template given")))
            } else {
                Ok(value.to_owned())
            }
        };
        let file = |what: &str| -> Result<String> {
            let path = need(what)?;
            std::fs::read_to_string(&path).map_err(|error| {
                Error::said(format!(
                    "error reading --template {path}, open {path}: {}\n",
                    crate::files::reason(&error)
                ))
            })
        };
        match name {
            "" if !flag.is_empty() => Self::template(flag.to_owned()),
            "" => Ok(Self::Plain),
            "wide" if has_table => Ok(Self::Wide),
            "json" => Ok(Self::Json),
            "yaml" => Ok(Self::Yaml),
            "kyaml" => Ok(Self::Kyaml),
            "name" => Ok(Self::Name),
            "jsonpath" => Self::jsonpath(need("template")?, false),
            "jsonpath-as-json" => Self::jsonpath(need("template")?, true),
            "jsonpath-file" => Self::jsonpath(file("template")?, false),
            "go-template" | "template" => Self::template(need("template")?),
            "go-template-file" | "templatefile" => Self::template(file("template")?),
            "custom-columns" if has_table => {
                if value.is_empty() {
                    return Err(Error::said("custom-columns format specified but no custom columns given"));
                }
                columns::Spec::parse(value).map(Self::Columns)
            }
            "custom-columns-file" if has_table => {
                if value.is_empty() {
                    return Err(Error::said(
                        "custom-columns-file format specified but no custom columns given",
                    ));
                }
                columns::Spec::parse_file(&file("custom-columns-file")?).map(Self::Columns)
            }
            _ => {
                let formats = if has_table { TABLE_FORMATS } else { FORMATS };
                Err(Error::said(format!(
                    "unable to match a printer suitable for the output format {output:?}, allowed formats are: {formats}"
                )))
            }
        }
    }

    fn jsonpath(source: String, as_json: bool) -> Result<Self> {
        let path = JsonPath::parse(&source)
            .map_err(|error| Error::said(format!("error parsing jsonpath {source}, {error}")))?;
        Ok(Self::JsonPath { path, source, as_json })
    }

    fn template(source: String) -> Result<Self> {
        let template = Template::parse(&source)
            .map_err(|error| Error::said(format!("error parsing template {source}, {error}")))?;
        Ok(Self::Template { template, source })
    }
}

/// Prints objects one by one, in a format.
pub struct Printer {
    pub format: Format,
    keep_managed: bool,
    allow_missing: bool,
    /// Documents of YAML so far: the next is set apart.
    printed: usize,
    has_header: bool,
}

impl Printer {
    pub fn new(cx: &Context, format: Format) -> Self {
        Self {
            format,
            keep_managed: cx.flags.on("show-managed-fields"),
            allow_missing: cx.flags.on("allow-missing-template-keys"),
            printed: 0,
            has_header: !cx.flags.on("no-headers"),
        }
    }

    /// One object, or a list of them.
    ///
    /// # Errors
    /// A template that does not fit the object.
    pub fn print(&mut self, object: &Value) -> Result {
        let text = self.text(object)?;
        crate::say(&text);
        Ok(())
    }

    fn text(&mut self, object: &Value) -> Result<String> {
        self.printed += 1;
        match &self.format {
            Format::Json => Ok(json::pretty(&self.shown(object)) + "\n"),
            Format::Yaml => {
                let start = if self.printed > 1 { "---\n" } else { "" };
                Ok(start.to_owned() + &api::encode_yaml(&self.shown(object)))
            }
            Format::Kyaml => Ok(format!("---\n{}", kyaml::encode(&self.shown(object)))),
            Format::Name | Format::Plain | Format::Wide => Ok(names(object)),
            Format::JsonPath { path, source, as_json } => self.by_path(path, source, *as_json, object),
            Format::Template { template, source } => template
                .run(object, self.allow_missing)
                .map_err(|error| Error::said(format!("error executing template {source:?}: {error}"))),
            Format::Columns(spec) => {
                let header = std::mem::take(&mut self.has_header);
                spec.print(object, header)
            }
        }
    }

    fn by_path(&self, path: &JsonPath, source: &str, as_json: bool, object: &Value) -> Result<String> {
        let result = if as_json {
            path.json(object, self.allow_missing)
        } else {
            path.text(object, self.allow_missing)
        };
        result.map_err(|error| {
            Error::said(format!(
                "error executing jsonpath {source:?}: Error executing template: {error}. Printing more information for debugging the template:\n\ttemplate was:\n\t\t{source}\n\tobject given to jsonpath engine was:\n\t\t{}\n\n",
                json::go_syntax(object)
            ))
        })
    }

    fn shown(&self, object: &Value) -> Value {
        let mut shown = object.clone();
        if !self.keep_managed {
            strip_managed(&mut shown);
        }
        shown
    }
}

pub fn strip_managed(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    if let Some(items) = object.get_mut("items").and_then(Value::as_array_mut) {
        items.iter_mut().for_each(strip_managed);
    }
}

/// `pod/a`, one a line.
fn names(object: &Value) -> String {
    if let Some(items) =
        object["items"].as_array().filter(|_| object["kind"].as_str().is_some_and(|k| k.ends_with("List")))
    {
        return items.iter().map(names).collect();
    }
    format!("{}\n", told(object))
}

/// `deployment.apps/web`.
pub fn told(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let kind = text(&object["kind"]).to_lowercase();
    let (group, _) = api::split_api_version(object["apiVersion"].as_str().unwrap_or(""));
    let name = match text(&object["metadata"]["name"]) {
        name if name.is_empty() => "<unknown>".into(),
        name => name,
    };
    if group.is_empty() { format!("{kind}/{name}") } else { format!("{kind}.{group}/{name}") }
}
