//! Objects from files, folders, URLs and standard input.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Info;
use crate::context::Context;
use crate::discovery::Resource;
use crate::error::{Error, Result};

/// A document, and where it stands.
pub struct Document {
    pub source: String,
    pub value: Value,
}

/// Every object of the files, lists taken apart. `local` asks no server for the types.
///
/// # Errors
/// A path that does not exist. What is wrong inside stands at its place in the list.
pub async fn infos(
    cx: &Context,
    names: &[String],
    recursive: bool,
    local: bool,
) -> Result<Vec<Result<Info>>> {
    let mut infos = Vec::new();
    for document in documents(cx, names, recursive).await? {
        match document {
            Err(error) => infos.push(Err(error)),
            Ok(document) => take_apart(cx, document, local, &mut infos).await,
        }
    }
    if infos.is_empty() {
        return Err(Error::said("no objects passed to ".to_owned() + last_word(&cx.path)));
    }
    Ok(infos)
}

fn last_word(path: &str) -> &str {
    path.split(' ').nth(1).unwrap_or("kubectl")
}

async fn take_apart(cx: &Context, document: Document, local: bool, infos: &mut Vec<Result<Info>>) {
    let Document { source, mut value } = document;
    let is_list = value["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
    if !(is_list && value["items"].is_array()) {
        infos.push(info(cx, source, value, local).await);
        return;
    }
    let kind = value["kind"].as_str().and_then(|kind| kind.strip_suffix("List")).unwrap_or("").to_owned();
    let version = value["apiVersion"].clone();
    if let Value::Array(items) = value["items"].take() {
        for mut item in items {
            if item.get("kind").is_none() && !kind.is_empty() {
                item["kind"] = kind.clone().into();
                item["apiVersion"] = version.clone();
            }
            infos.push(info(cx, source.clone(), item, local).await);
        }
    }
}

async fn info(cx: &Context, source: String, mut value: Value, local: bool) -> Result<Info> {
    let text = |value: &Value, field: &str| value[field].as_str().unwrap_or("").to_owned();
    let (api_version, kind) = (text(&value, "apiVersion"), text(&value, "kind"));
    if kind.is_empty() {
        return Err(Error::said(format!(
            "unable to decode {source:?}: Object 'Kind' is missing in '{value}'"
        )));
    }
    if api_version.is_empty() {
        return Err(Error::said(format!(
            "unable to decode {source:?}: Object 'apiVersion' is missing in '{value}'"
        )));
    }
    let resource = if local {
        described(&api_version, &kind)
    } else {
        cx.kind(&api_version, &kind).await.map_err(|error| match error {
            Error::Said(text) if text.starts_with("no matches") => {
                let name = value["metadata"]["name"].as_str().unwrap_or("");
                let namespace = value["metadata"]["namespace"].as_str().unwrap_or("");
                Error::Said(format!("resource mapping not found for name: {name:?} namespace: {namespace:?} from {source:?}: {text}"))
            }
            other => other,
        })?
    };
    let own = value["metadata"]["namespace"].as_str().unwrap_or("").to_owned();
    let namespace = if resource.namespaced { Some(namespace(cx, &own, &mut value).await?) } else { None };
    let name = value["metadata"]["name"].as_str().unwrap_or("").to_owned();
    Ok(Info { resource, namespace, name, object: value, source })
}

async fn namespace(cx: &Context, own: &str, value: &mut Value) -> Result<String> {
    let access = cx.access().await?;
    if own.is_empty() {
        value["metadata"]["namespace"] = access.namespace.clone().into();
        return Ok(access.namespace.clone());
    }
    if access.namespace_is_given && access.namespace != own {
        return Err(Error::said(format!(
            "the namespace from the provided object {own:?} does not match the namespace {:?}. You must pass '--namespace={own}' to perform this operation.",
            access.namespace
        )));
    }
    Ok(own.to_owned())
}

/// A built-in resource as the API describes it; a guess for others.
fn described(api_version: &str, kind: &str) -> Resource {
    let (group, version) = api::split_api_version(api_version);
    let known = api::Schema::builtin()
        .resources()
        .iter()
        .find(|r| r.group == group && r.version == version && r.kind == kind);
    Resource {
        group: group.into(),
        version: version.into(),
        kind: kind.into(),
        plural: known.map_or_else(|| format!("{}s", kind.to_lowercase()), |r| r.plural.to_string()),
        namespaced: known.is_none_or(|r| r.namespaced),
        ..Resource::default()
    }
}

/// # Errors
/// A path that does not exist.
pub async fn documents(cx: &Context, names: &[String], recursive: bool) -> Result<Vec<Result<Document>>> {
    let mut all = Vec::new();
    for name in names {
        if name == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|error| Error::said(error.to_string()))?;
            split(&text, "STDIN", &mut all);
        } else if name.starts_with("http://") || name.starts_with("https://") {
            let text = crate::commands::download::get(cx, name).await?;
            split(&text, name, &mut all);
        } else {
            for path in paths(name, recursive)? {
                read_file(&path, &mut all);
            }
        }
    }
    Ok(all)
}

fn read_file(path: &Path, all: &mut Vec<Result<Document>>) {
    let shown = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => split(&text, &shown, all),
        Err(error) => all.push(Err(Error::said(format!("open {shown}: {}", crate::files::reason(&error))))),
    }
}

/// The file itself, or the manifests of the folder in order.
fn paths(name: &str, recursive: bool) -> Result<Vec<PathBuf>> {
    let path = Path::new(name);
    if path.is_dir() {
        let mut found = Vec::new();
        walk(path, recursive, &mut found)?;
        if found.is_empty() {
            return Err(Error::said(format!(
                "error reading [{name}]: recognized file extensions are [.json .yaml .yml]"
            )));
        }
        return Ok(found);
    }
    if path.exists() {
        return Ok(vec![path.into()]);
    }
    let matching = matching(path);
    if matching.is_empty() {
        return Err(Error::said(format!("the path {name:?} does not exist")));
    }
    Ok(matching)
}

fn walk(folder: &Path, recursive: bool, found: &mut Vec<PathBuf>) -> Result {
    let failed = |error: std::io::Error| {
        Error::said(format!("open {}: {}", folder.display(), crate::files::reason(&error)))
    };
    let entries: std::io::Result<Vec<_>> =
        std::fs::read_dir(folder).map_err(failed)?.map(|entry| entry.map(|e| e.path())).collect();
    let mut entries = entries.map_err(failed)?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            if recursive {
                walk(&path, recursive, found)?;
            }
        } else if path
            .extension()
            .is_some_and(|extension| ["json", "yaml", "yml"].iter().any(|known| extension == *known))
        {
            found.push(path);
        }
    }
    Ok(())
}

/// Files whose name fits a pattern with `*` and `?`.
fn matching(path: &Path) -> Vec<PathBuf> {
    let pattern = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
    if !pattern.contains(['*', '?', '[']) {
        return Vec::new();
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let expression = format!("^{}$", regex::escape(pattern).replace("\\*", ".*").replace("\\?", "."));
    // A folder that cannot be read matches nothing, as in a shell.
    let (Ok(regex), Ok(entries)) = (regex::Regex::new(&expression), std::fs::read_dir(folder)) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = entries
        .filter_map(std::result::Result::ok)
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| regex.is_match(name)))
        .map(|entry| path.parent().unwrap_or(Path::new("")).join(entry.file_name()))
        .collect();
    found.sort();
    found
}

/// Takes a text apart: JSON values in a row, or YAML documents between `---` lines.
fn split(text: &str, source: &str, all: &mut Vec<Result<Document>>) {
    if text.trim_start().starts_with('{') {
        for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
            match value {
                Ok(value) => all.push(Ok(Document { source: source.into(), value })),
                Err(_) => return split_yaml(text, source, all),
            }
        }
        return;
    }
    split_yaml(text, source, all);
}

fn split_yaml(text: &str, source: &str, all: &mut Vec<Result<Document>>) {
    let mut document = String::new();
    let mut texts = Vec::new();
    for line in text.split_inclusive('\n') {
        if line.starts_with("---") && line[3..].trim_start().is_empty() || line.starts_with("--- ") {
            texts.push(std::mem::take(&mut document));
            if let Some(rest) = line.strip_prefix("--- ").filter(|rest| !rest.trim_start().starts_with('#')) {
                document.push_str(rest);
            }
        } else {
            document.push_str(line);
        }
    }
    texts.push(document);
    for text in texts {
        let is_empty = text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
        if is_empty {
            continue;
        }
        match api::codec::yaml_tree(&text) {
            Ok((Value::Null, _)) => {}
            Ok((value, _)) => all.push(Ok(Document { source: source.into(), value })),
            Err(error) => {
                all.push(Err(Error::said(format!("error parsing {source}: {error}"))));
                return;
            }
        }
    }
}
