//! `create configmap` and `create secret`: data from literals, files, folders and env files.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::generate::{flags, make, name, required};
use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::error::{Error, Result};

const FROM_FILE: Flag =
    Flag::list("from-file", "A file, its key before = where it is not the file's name; or a folder.");
const FROM_LITERAL: Flag = Flag::each("from-literal", "A key and its value (key=value).");
const FROM_ENV: Flag = Flag::list("from-env-file", "A file with lines of KEY=value.");
const HASH: Flag = Flag::switch("append-hash", "Put a hash of the data behind the name; not built yet.");

pub const CONFIG_MAP: Command = Command::new(
    "configmap",
    "Create a config map from a local file, directory or literal value",
    "[--from-file=[key=]source] [--from-literal=key1=value1] [--dry-run=server|client|none]",
)
.aliases(&["cm"])
.flags(flags![FROM_FILE, FROM_LITERAL, FROM_ENV, HASH])
.run(|cx| Box::pin(config_map(cx)));

const GENERIC: Command = Command::new(
    "generic",
    "Create a secret from a local file, directory, or literal value",
    "NAME [--type=string]",
)
.flags(flags![FROM_FILE, FROM_LITERAL, FROM_ENV, HASH, Flag::text("type", "Type of the secret.")])
.run(|cx| Box::pin(generic(cx)));

const TLS: Command =
    Command::new("tls", "Create a TLS secret", "NAME --cert=path/to/cert/file --key=path/to/key/file")
        .flags(flags![
            HASH,
            Flag::text("cert", "File with the certificate, PEM."),
            Flag::text("key", "File with its key, PEM.")
        ])
        .run(|cx| Box::pin(tls(cx)));

const REGISTRY: Command = Command::new(
    "docker-registry",
    "Create a secret for use with a Docker registry",
    "NAME --docker-username=user --docker-password=password --docker-email=email",
)
.flags(flags![
    FROM_FILE,
    HASH,
    Flag::text("docker-email", "Address of the user."),
    Flag::text("docker-password", "Password for the registry."),
    Flag::text("docker-server", "The registry.").default("https://index.docker.io/v1/"),
    Flag::text("docker-username", "Name for the registry."),
])
.run(|cx| Box::pin(registry(cx)));

pub const SECRET: Command = Command::new(
    "secret",
    "Create a secret using a specified subcommand",
    "(docker-registry | generic | tls)",
)
.commands(&[REGISTRY, GENERIC, TLS]);

async fn config_map(cx: Context) -> Result {
    let name = name(&cx)?;
    let data = collect(&cx)?;
    let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    for (key, bytes) in data {
        match String::from_utf8(bytes) {
            Ok(text) => object["data"][key] = text.into(),
            Err(error) => object["binaryData"][key] = STANDARD.encode(error.as_bytes()).into(),
        }
    }
    make(&cx, object).await
}

async fn generic(cx: Context) -> Result {
    let name = name(&cx)?;
    let mut object = secret(&name, cx.flags.text("type"));
    for (key, bytes) in collect(&cx)? {
        object["data"][key] = STANDARD.encode(bytes).into();
    }
    make(&cx, object).await
}

fn secret(name: &str, kind: &str) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
    if !kind.is_empty() {
        object["type"] = kind.into();
    }
    object
}

async fn tls(cx: Context) -> Result {
    let name = name(&cx)?;
    if cx.flags.text("cert").is_empty() || cx.flags.text("key").is_empty() {
        return Err(Error::said("key and cert must be specified"));
    }
    let (certificate, key) = (read(cx.flags.text("cert"))?, read(cx.flags.text("key"))?);
    if !String::from_utf8_lossy(&certificate).contains("-----BEGIN CERTIFICATE-----") {
        return Err(Error::said("tls: failed to find any PEM data in certificate input"));
    }
    if !String::from_utf8_lossy(&key).contains("PRIVATE KEY-----") {
        return Err(Error::said("tls: failed to find any PEM data in key input"));
    }
    let mut object = secret(&name, "kubernetes.io/tls");
    object["data"] = json!({"tls.crt": STANDARD.encode(certificate), "tls.key": STANDARD.encode(key)});
    make(&cx, object).await
}

async fn registry(cx: Context) -> Result {
    let name = name(&cx)?;
    let mut object = secret(&name, "kubernetes.io/dockerconfigjson");
    let files = collect(&cx)?;
    if !files.is_empty() {
        for (key, bytes) in files {
            object["data"][key] = STANDARD.encode(bytes).into();
        }
        return make(&cx, object).await;
    }
    required(&cx, &["docker-username", "docker-password"]).map_err(|_| {
        Error::said("either --from-file or the combination of --docker-username, --docker-password and --docker-server is required")
    })?;
    let text = |flag: &str| cx.flags.text(flag);
    let mut login = Map::new();
    login.insert("username".into(), text("docker-username").into());
    login.insert("password".into(), text("docker-password").into());
    if !text("docker-email").is_empty() {
        login.insert("email".into(), text("docker-email").into());
    }
    let auth = STANDARD.encode(format!("{}:{}", text("docker-username"), text("docker-password")));
    login.insert("auth".into(), auth.into());
    let config = json!({"auths": {text("docker-server"): login}});
    object["data"] = json!({".dockerconfigjson": STANDARD.encode(config.to_string())});
    make(&cx, object).await
}

fn read(path: &str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::said(format!("open {path}: {}", crate::files::reason(&error))))
}

type Data = Vec<(String, Vec<u8>)>;

/// Everything that the flags name.
fn collect(cx: &Context) -> Result<Data> {
    if cx.flags.on("append-hash") {
        return Err(Error::said("--append-hash is not built yet"));
    }
    let has = |flag: &str| !cx.flags.list(flag).is_empty();
    if has("from-env-file") && (has("from-file") || has("from-literal")) {
        return Err(Error::said("from-env-file cannot be combined with from-file or from-literal"));
    }
    let mut data = Data::new();
    for source in cx.flags.list("from-file") {
        for (key, bytes) in from_file(&source)? {
            add(&mut data, key, bytes)?;
        }
    }
    for literal in cx.flags.list("from-literal") {
        let (key, value) = match literal.split_once('=') {
            Some((key, value)) if !key.is_empty() => (key, value),
            _ => return Err(Error::said(format!("invalid literal source {literal}, expected key=value"))),
        };
        add(&mut data, key.to_owned(), value.trim_matches('"').as_bytes().to_vec())?;
    }
    for path in cx.flags.list("from-env-file") {
        for (key, value) in from_env(&path)? {
            add(&mut data, key, value)?;
        }
    }
    Ok(data)
}

fn add(data: &mut Data, key: String, value: Vec<u8>) -> Result {
    let is_valid = !key.is_empty()
        && key.len() <= 253
        && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if !is_valid {
        return Err(Error::said(format!(
            "{key:?} is not a valid key name for a ConfigMap: a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
        )));
    }
    if data.iter().any(|(known, _)| *known == key) {
        return Err(Error::said(format!(
            "cannot add key {key:?}, another key by that name already exists in Data for ConfigMap"
        )));
    }
    data.push((key, value));
    Ok(())
}

fn from_file(source: &str) -> Result<Data> {
    let (key, path) = match source.split_once('=') {
        Some(("", _)) => return Err(Error::said(format!("key name for file path {} missing", &source[1..]))),
        Some((key, "")) => return Err(Error::said(format!("file path for key name {key} missing"))),
        Some((key, path)) => (Some(key.to_owned()), path),
        None => (None, source),
    };
    let missing = |error: std::io::Error| {
        Error::said(format!("error reading {path}: {}", crate::files::reason(&error)))
    };
    let meta = std::fs::metadata(path).map_err(missing)?;
    let base = |path: &std::path::Path| {
        path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    };
    if !meta.is_dir() {
        return Ok(vec![(key.unwrap_or_else(|| base(path.as_ref())), read(path)?)]);
    }
    if key.is_some() {
        return Err(Error::said("cannot give a key name for a directory path"));
    }
    let mut data = Data::new();
    let entries: std::io::Result<Vec<_>> = std::fs::read_dir(path).map_err(missing)?.collect();
    let mut paths: Vec<_> = entries
        .map_err(missing)?
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    paths.sort();
    for path in paths {
        data.push((base(&path), read(&path.display().to_string())?));
    }
    Ok(data)
}

fn from_env(path: &str) -> Result<Data> {
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    let mut data = Data::new();
    for line in text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (key, value.to_owned()),
            // A name alone takes the value from the environment.
            None => (line, std::env::var(line).unwrap_or_default()),
        };
        data.push((key.to_owned(), value.into_bytes()));
    }
    Ok(data)
}
