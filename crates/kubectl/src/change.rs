//! What all commands that change objects share: dry runs, who the change is attributed to, the sentence about it.

use http::Method;
use serde_json::Value;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::print::{Format, Printer};
use crate::resources::Info;
use crate::rest::Ask;
use crate::text::query;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DryRun {
    No,
    Client,
    Server,
}

impl DryRun {
    /// # Errors
    /// A value that is none of the three.
    pub fn of(cx: &Context) -> Result<Self> {
        match cx.flags.text("dry-run") {
            "none" | "" => Ok(Self::No),
            "client" => Ok(Self::Client),
            "server" => Ok(Self::Server),
            "unchanged" => {
                eprintln!("W0000 --dry-run is deprecated and can be replaced with --dry-run=client.");
                Ok(Self::Client)
            }
            other => Err(Error::said(format!(
                "Invalid dry-run value ({other}). Must be \"none\", \"server\", or \"client\"."
            ))),
        }
    }
}

/// Makes changes and tells of them.
pub struct Changes {
    pub dry_run: DryRun,
    manager: String,
    validation: &'static str,
    printer: Printer,
}

pub const MERGE: &str = "application/merge-patch+json";
pub const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub const JSON_PATCH: &str = "application/json-patch+json";
pub const APPLY: &str = "application/apply-patch+yaml";

/// The annotation that `apply` compares with.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// `--raw`: sends the one file as it is, and says what comes back.
///
/// # Errors
/// Not exactly one file, one that cannot be read, or a server that refuses.
pub async fn raw(cx: &Context, method: Method, files: &[String]) -> Result {
    let [file] = files else { return Err(cx.usage("--raw can only use a single local file or stdin")) };
    let text =
        if file == "-" { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(file) };
    let text = text.map_err(|error| Error::said(format!("open {file}: {}", crate::files::reason(&error))))?;
    let ask =
        Ask { method, body: text.into(), content_type: crate::rest::JSON, ..Ask::get(cx.flags.text("raw")) };
    crate::say(&String::from_utf8_lossy(&cx.rest().await?.bytes(&ask).await?));
    Ok(())
}

impl Changes {
    /// # Errors
    /// Flags with wrong values.
    pub fn of(cx: &Context) -> Result<Self> {
        if cx.flags.on("record") {
            return Err(Error::said(
                "--record is not built: annotate the object with kubernetes.io/change-cause instead",
            ));
        }
        let validation = match cx.flags.text("validate") {
            "" => "",
            "strict" | "true" => "Strict",
            "warn" => "Warn",
            "ignore" | "false" => "Ignore",
            other => {
                return Err(Error::said(format!(
                    "invalid - validate option {other:?}; must be one of: strict (or true), warn, ignore (or false)"
                )));
            }
        };
        Ok(Self {
            dry_run: DryRun::of(cx)?,
            manager: cx.flags.text("field-manager").to_owned(),
            validation,
            printer: Printer::new(cx, Format::of(cx)?),
        })
    }

    pub fn manager(&self) -> &str {
        &self.manager
    }

    pub fn query(&self, more: &[(&str, &str)]) -> String {
        let dry_run = if self.dry_run == DryRun::Server { "All" } else { "" };
        let mut pairs = vec![
            ("dryRun", dry_run),
            ("fieldManager", self.manager.as_str()),
            ("fieldValidation", self.validation),
        ];
        pairs.extend(more);
        query(&pairs)
    }

    /// Creates it; the object as the server made it, or as it is in a client's dry run.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn create(&self, cx: &Context, info: &Info) -> Result<Value> {
        if self.dry_run == DryRun::Client {
            return Ok(info.object.clone());
        }
        let path = format!("{}{}", info.resource.path(info.namespace.as_deref()), self.query(&[]));
        cx.rest().await?.json(&Ask::with(Method::POST, path, &info.object)).await
    }

    /// # Errors
    /// The server refuses.
    pub async fn replace(&self, cx: &Context, info: &Info, sub: &str) -> Result<Value> {
        let path = format!("{}{}{}", info.path(), below(sub), self.query(&[]));
        cx.rest().await?.json(&Ask::with(Method::PUT, path, &info.object)).await
    }

    /// # Errors
    /// The server refuses.
    pub async fn patch(
        &self,
        cx: &Context,
        info: &Info,
        sub: &str,
        kind: &'static str,
        patch: &Value,
    ) -> Result<Value> {
        let path = format!("{}{}{}", info.path(), below(sub), self.query(&[]));
        cx.rest().await?.json(&Ask::with(Method::PATCH, path, patch).content_type(kind)).await
    }

    /// `configmap/a created (dry run)`, or the object in the asked format.
    ///
    /// # Errors
    /// A template that does not fit.
    pub fn tell(&mut self, object: &Value, done: &str) -> Result {
        match self.printer.format {
            Format::Plain => {
                let how = match self.dry_run {
                    DryRun::No => "",
                    DryRun::Client => " (dry run)",
                    DryRun::Server => " (server dry run)",
                };
                crate::say(&format!("{} {done}{how}\n", crate::print::told(object)));
                Ok(())
            }
            _ => self.printer.print(object),
        }
    }

    pub fn is_plain(&self) -> bool {
        matches!(self.printer.format, Format::Plain)
    }
}

fn below(sub: &str) -> String {
    if sub.is_empty() { String::new() } else { format!("/{sub}") }
}

/// Notes the object's own configuration in its annotation.
pub fn save_config(object: &mut Value) {
    let text = configuration(object);
    set_annotation(object, LAST_APPLIED, &text);
}

/// The object as `apply` notes it: without that note, in one line.
pub fn configuration(object: &Value) -> String {
    let mut bare = object.clone();
    if let Some(annotations) = bare["metadata"]["annotations"].as_object_mut() {
        annotations.remove(LAST_APPLIED);
    }
    if bare["metadata"].get("annotations").is_none_or(Value::is_null) {
        bare["metadata"]["annotations"] = serde_json::json!({});
    }
    crate::print::json::compact(&bare) + "\n"
}

pub fn set_annotation(object: &mut Value, name: &str, value: &str) {
    if !object["metadata"]["annotations"].is_object() {
        object["metadata"]["annotations"] = serde_json::json!({});
    }
    object["metadata"]["annotations"][name] = value.into();
}

/// Changes `before` into `after`: what a two-way strategic merge patch (or merge patch, for kinds that are not built in)
/// has to say.
pub fn patch_between(info: &Info, before: &Value, after: &Value) -> (&'static str, Value) {
    let known =
        api::Schema::builtin().kind(&info.resource.group, &info.resource.version, &info.resource.kind);
    match known {
        Some(owner) => (STRATEGIC, crate::merge::two_way(Some(owner), before, after)),
        None => (MERGE, crate::merge::two_way(None, before, after)),
    }
}
