//! `get -w`: what is there, then what changes.

use serde_json::{Value, json};

use super::tables::{look, resource_of};
use crate::context::Context;
use crate::discovery::Resource;
use crate::error::{Error, Result};
use crate::print::table::{Header, Look};
use crate::print::{Format, Printer};
use crate::resources::{Target, Wanted};
use crate::rest::{Ask, TABLE};
use crate::text::query;
use crate::watch::Watch;

pub async fn run(cx: &Context, wanted: &Wanted, targets: Vec<Result<Target>>, format: Format) -> Result {
    let [target] = <[Result<Target>; 1]>::try_from(targets)
        .map_err(|_| Error::said("you may only specify a single resource type"))?;
    let target = target?;
    let resource = resource_of(&target).clone();
    let mut shown = Shown::of(cx, wanted, &resource, format);
    let revision = shown.first(cx, wanted, &target).await?;
    let (namespace, fields) = match &target {
        Target::Name { namespace, name, .. } => (namespace.clone(), format!("metadata.name={name}")),
        Target::List { namespace, .. } => (namespace.clone(), wanted.fields.clone()),
        Target::File(_) => return Err(Error::said("a file cannot be watched")),
    };
    let path = resource.path(namespace.as_deref())
        + &query(&[
            ("fieldSelector", &fields),
            ("labelSelector", &wanted.labels),
            ("resourceVersion", &revision),
            ("watch", "true"),
        ]);
    let accept = if shown.is_table { TABLE } else { crate::rest::JSON };
    let mut watch = Watch::open(cx.rest().await?, &Ask::get(path).accept(accept)).await?;
    while let Some((kind, object)) = watch.next().await? {
        shown.event(&kind, object)?;
    }
    Ok(())
}

struct Shown {
    is_table: bool,
    with_events: bool,
    only: bool,
    header: Header,
    look: Look,
    printer: Printer,
}

impl Shown {
    fn of(cx: &Context, wanted: &Wanted, resource: &Resource, format: Format) -> Self {
        let is_wide = matches!(format, Format::Wide);
        Self {
            is_table: is_wide || matches!(format, Format::Plain),
            with_events: cx.flags.on("output-watch-events"),
            only: cx.flags.on("watch-only"),
            header: Header::default(),
            look: look(cx, wanted, resource, is_wide, cx.flags.on("show-kind")),
            printer: Printer::new(cx, format),
        }
    }

    /// What is there; its revision.
    async fn first(&mut self, cx: &Context, wanted: &Wanted, target: &Target) -> Result<String> {
        let path = match target {
            Target::Name { resource, namespace, name } => resource.object_path(namespace.as_deref(), name),
            Target::List { resource, namespace } => {
                resource.path(namespace.as_deref())
                    + &query(&[("fieldSelector", &wanted.fields), ("labelSelector", &wanted.labels)])
            }
            Target::File(info) => info.path(),
        };
        let accept = if self.is_table { TABLE } else { crate::rest::JSON };
        let answer = cx.rest().await?.json(&Ask::get(path).accept(accept)).await?;
        let revision = answer["metadata"]["resourceVersion"].as_str().unwrap_or("").to_owned();
        let is_list = answer["items"].is_array();
        // One object's table carries that object's revision; a list starts behind what it shows.
        if self.only {
            if self.is_table {
                self.header.update(&answer);
            }
            return Ok(revision);
        }
        if self.is_table {
            self.rows("ADDED", &answer)?;
        } else if is_list {
            let items = answer["items"].as_array().cloned().unwrap_or_default();
            let api_version = answer["apiVersion"].clone();
            let kind =
                answer["kind"].as_str().and_then(|kind| kind.strip_suffix("List")).unwrap_or("").to_owned();
            for mut item in items {
                item["apiVersion"] = api_version.clone();
                item["kind"] = kind.clone().into();
                self.object("ADDED", &item)?;
            }
        } else {
            self.object("ADDED", &answer)?;
        }
        Ok(revision)
    }

    fn event(&mut self, kind: &str, object: Value) -> Result {
        if kind == "BOOKMARK" {
            return Ok(());
        }
        if self.is_table { self.rows(kind, &object) } else { self.object(kind, &object) }
    }

    fn object(&mut self, kind: &str, object: &Value) -> Result {
        if self.with_events {
            let mut object = object.clone();
            crate::print::strip_managed(&mut object);
            return self.printer.print(&json!({"type": kind, "object": object}));
        }
        self.printer.print(object)
    }

    fn rows(&mut self, kind: &str, table: &Value) -> Result {
        self.header.update(table);
        let rows = table["rows"].as_array().cloned().unwrap_or_default();
        if rows.is_empty() {
            return Ok(());
        }
        let text = self.header.lay_out(&rows, &self.look);
        if self.with_events {
            let with = |at: usize, line: &str| {
                let first = if at == 0 && !self.look.no_headers { "EVENT" } else { kind };
                format!("{first:<11}{line}\n")
            };
            let lines: String = text.lines().enumerate().map(|(at, line)| with(at, line)).collect();
            crate::say(&lines);
        } else {
            crate::say(&text);
        }
        self.look.no_headers = true;
        Ok(())
    }
}
