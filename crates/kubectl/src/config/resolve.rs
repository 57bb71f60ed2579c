//! What the chosen context and the flags over it come to: the address, and who asks.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::file::{Entry, Kubeconfig};
use crate::cli::Given;
use crate::error::{Error, Result};

/// The global flags that choose or override.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub context: String,
    pub cluster: String,
    pub user: String,
    pub server: String,
    pub namespace: String,
    pub certificate_authority: String,
    pub client_certificate: String,
    pub client_key: String,
    pub tls_server_name: String,
    pub insecure: Option<bool>,
    pub token: String,
    pub username: String,
    pub password: String,
    pub as_user: String,
    pub as_uid: String,
    pub as_groups: Vec<String>,
    pub as_extra: Vec<String>,
}

impl Overrides {
    pub fn of(given: &Given) -> Self {
        // A command's own flag of the same name (create rolebinding --user) means something else.
        let text = |long: &str| if given.is_own(long) { String::new() } else { given.text(long).to_owned() };
        Self {
            context: text("context"),
            cluster: text("cluster"),
            user: text("user"),
            server: text("server"),
            namespace: text("namespace"),
            certificate_authority: text("certificate-authority"),
            client_certificate: text("client-certificate"),
            client_key: text("client-key"),
            tls_server_name: text("tls-server-name"),
            insecure: given.has("insecure-skip-tls-verify").then(|| given.on("insecure-skip-tls-verify")),
            token: text("token"),
            username: text("username"),
            password: text("password"),
            as_user: text("as"),
            as_uid: text("as-uid"),
            as_groups: given.list("as-group"),
            as_extra: given.list("as-user-extra"),
        }
    }
}

/// How the server is reached, and as whom.
#[derive(Clone, Debug, Default)]
pub struct Access {
    pub server: String,
    /// The context's, or the flag's; `default` where neither says.
    pub namespace: String,
    /// The flag was given.
    pub namespace_is_given: bool,
    /// PEM; none trusts the machine's.
    pub authority: Option<Vec<u8>>,
    pub insecure: bool,
    pub tls_server_name: String,
    pub proxy: String,
    pub auth: Auth,
}

/// Who asks.
#[derive(Clone, Debug, Default)]
pub struct Auth {
    pub certificate: Option<Vec<u8>>,
    pub key: Option<Vec<u8>>,
    pub token: String,
    pub basic: Option<(String, String)>,
    pub exec: Option<Exec>,
    /// `Impersonate-…` headers.
    pub impersonate: Vec<(String, String)>,
}

/// A program that gives credentials.
#[derive(Clone, Debug)]
pub struct Exec {
    pub spec: Value,
    /// What it is told about the cluster.
    pub cluster: Value,
}

/// Puts context, cluster, user and flags together.
///
/// # Errors
/// A name that the kubeconfig does not have; a file that cannot be read.
pub fn resolve(config: &Kubeconfig, flags: &Overrides) -> Result<Access> {
    let name = or(&flags.context, &config.current_context);
    let context = config.context(name);
    if context.is_none() && !flags.context.is_empty() {
        return Err(Error::said(format!("context {:?} does not exist", flags.context)));
    }
    let said = |field: &str| context.map_or("", |entry| entry.text(field));
    let cluster = named(config.cluster(or(&flags.cluster, said("cluster"))), "cluster", &flags.cluster)?;
    let user = named(config.user(or(&flags.user, said("user"))), "auth info", &flags.user)?;
    let cluster_text = |field: &str| cluster.as_ref().map_or("", |entry| entry.text(field));
    let server = or(&flags.server, cluster_text("server"));
    let insecure =
        flags.insecure.unwrap_or_else(|| cluster.as_ref().is_some_and(|c| c.on("insecure-skip-tls-verify")));
    let authority = match (&flags.certificate_authority, &cluster) {
        _ if flags.insecure == Some(true) => None,
        (path, _) if !path.is_empty() => Some(read(path, "certificate-authority")?),
        (_, Some(cluster)) => data_or_file(cluster, "certificate-authority")?,
        _ => None,
    };
    if insecure && authority.is_some() {
        return Err(Error::said("specifying a root certificates file with the insecure flag is not allowed"));
    }
    Ok(Access {
        server: address(or(server, "http://localhost:8080")),
        namespace: or(or(&flags.namespace, said("namespace")), "default").to_owned(),
        namespace_is_given: !flags.namespace.is_empty(),
        authority,
        insecure,
        tls_server_name: or(&flags.tls_server_name, cluster_text("tls-server-name")).to_owned(),
        proxy: cluster_text("proxy-url").to_owned(),
        auth: auth(user.as_ref(), cluster.as_ref(), flags)?,
    })
}

fn or<'a>(first: &'a str, second: &'a str) -> &'a str {
    if first.is_empty() { second } else { first }
}

/// A name that a flag gives must exist.
fn named(entry: Option<&Entry>, what: &str, flag: &str) -> Result<Option<Entry>> {
    if entry.is_none() && !flag.is_empty() {
        return Err(Error::said(format!("{what} {flag:?} does not exist")));
    }
    Ok(entry.cloned().map(Entry::with_absolute_paths))
}

fn address(server: &str) -> String {
    let server = server.trim_end_matches('/');
    if server.contains("://") { server.to_owned() } else { format!("http://{server}") }
}

fn auth(user: Option<&Entry>, cluster: Option<&Entry>, flags: &Overrides) -> Result<Auth> {
    let mut auth = Auth { impersonate: impersonation(user, flags)?, ..Auth::default() };
    if let Some(user) = user {
        auth.certificate = data_or_file(user, "client-certificate")?;
        auth.key = data_or_file(user, "client-key")?;
        auth.token = token(user)?;
        if !user.text("username").is_empty() {
            auth.basic = Some((user.text("username").into(), user.text("password").into()));
        }
        auth.exec = user.value.get("exec").map(|spec| Exec {
            spec: spec.clone(),
            cluster: cluster.map_or(Value::Null, |cluster| Value::Object(cluster.value.clone())),
        });
    }
    if !flags.client_certificate.is_empty() {
        auth.certificate = Some(read(&flags.client_certificate, "client-cert")?);
    }
    if !flags.client_key.is_empty() {
        auth.key = Some(read(&flags.client_key, "client-key")?);
    }
    if !flags.token.is_empty() {
        auth.token.clone_from(&flags.token);
        auth.exec = None;
    }
    if !flags.username.is_empty() {
        auth.basic = Some((flags.username.clone(), flags.password.clone()));
    }
    Ok(auth)
}

fn token(user: &Entry) -> Result<String> {
    if !user.text("token").is_empty() {
        return Ok(user.text("token").to_owned());
    }
    match user.text("tokenFile") {
        "" => Ok(String::new()),
        path => Ok(String::from_utf8_lossy(&read(path, "tokenFile")?).trim().to_owned()),
    }
}

fn impersonation(user: Option<&Entry>, flags: &Overrides) -> Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    let said = |field: &str| user.map_or("", |user| user.text(field)).to_owned();
    let name = or(&flags.as_user, &said("as")).to_owned();
    let groups: Vec<String> = if flags.as_groups.is_empty() {
        let listed =
            user.and_then(|user| user.value.get("as-groups")?.as_array().cloned()).unwrap_or_default();
        listed.iter().filter_map(|group| group.as_str().map(str::to_owned)).collect()
    } else {
        flags.as_groups.clone()
    };
    let uid = or(&flags.as_uid, &said("as-uid")).to_owned();
    if name.is_empty() {
        if !uid.is_empty() || !groups.is_empty() || !flags.as_extra.is_empty() {
            return Err(Error::said(
                "requesting uid, groups or user-extra for test-user without impersonating a user",
            ));
        }
        return Ok(headers);
    }
    headers.push(("impersonate-user".into(), name));
    if !uid.is_empty() {
        headers.push(("impersonate-uid".into(), uid));
    }
    headers.extend(groups.into_iter().map(|group| ("impersonate-group".into(), group)));
    for extra in &flags.as_extra {
        let (key, value) = extra.split_once('=').unwrap_or((extra, ""));
        headers.push((format!("impersonate-extra-{}", key.to_lowercase()), value.to_owned()));
    }
    Ok(headers)
}

/// `…-data`, else the file.
fn data_or_file(entry: &Entry, field: &str) -> Result<Option<Vec<u8>>> {
    let data = entry.text(&format!("{field}-data"));
    if !data.is_empty() {
        let clean: String = data.split_whitespace().collect();
        let bytes =
            STANDARD.decode(clean).map_err(|error| Error::said(format!("illegal base64 data: {error}")))?;
        return Ok(Some(bytes));
    }
    match entry.text(field) {
        "" => Ok(None),
        path => read(path, field).map(Some),
    }
}

fn read(path: &str, what: &str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        Error::said(format!(
            "unable to read {what} {path} due to open {path}: {}",
            crate::files::reason(&error)
        ))
    })
}
