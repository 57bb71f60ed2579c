//! `kubectl version`: of the client, and of the server.

use serde_json::{Value, json};

use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::rest::Ask;

/// The release that this command line does as.
pub const LIKE: &str = "v1.36.4";
const KUSTOMIZE: &str = "v5.8.1";

pub const COMMAND: Command = Command::new("version", "Print the versions of client and server", "[flags]")
    .examples("# Both\nkubectl version")
    .flags(&[&[
        Flag::switch("client", "Only the client's; ask no server."),
        Flag::text("output", "json or yaml.").short('o'),
    ]])
    .run(|cx| Box::pin(run(cx)));

async fn run(cx: Context) -> Result {
    if !cx.args.is_empty() {
        return Err(Error::said(format!("extra arguments: [{}]", cx.args.join(" "))));
    }
    if !matches!(cx.flags.text("output"), "" | "json" | "yaml") {
        return Err(Error::said("--output must be 'yaml' or 'json'"));
    }
    let server = if cx.flags.on("client") { None } else { Some(ask(&cx).await) };
    let (server, failure) = match server {
        None => (None, None),
        Some(Ok(server)) => (Some(server), None),
        Some(Err(error)) => (None, Some(error)),
    };
    crate::say(&told(&cx, server.as_ref()));
    failure.map_or(Ok(()), Err)
}

async fn ask(cx: &Context) -> Result<Value> {
    cx.rest().await?.json(&Ask::get("/version")).await
}

fn told(cx: &Context, server: Option<&Value>) -> String {
    let client = json!({
        "major": "1", "minor": "36", "gitVersion": LIKE, "gitCommit": "", "gitTreeState": "clean", "buildDate": "",
        "goVersion": "", "compiler": "rustc", "platform": format!("{}/{}", std::env::consts::OS, "amd64"),
    });
    let mut whole = json!({"clientVersion": client, "kustomizeVersion": KUSTOMIZE});
    if let Some(server) = server {
        whole["serverVersion"] = server.clone();
    }
    match cx.flags.text("output") {
        "json" => serde_json::to_string_pretty(&whole).unwrap_or_default() + "\n",
        "yaml" => api::encode_yaml(&whole),
        _ => {
            let mut text = format!("Client Version: {LIKE}\nKustomize Version: {KUSTOMIZE}\n");
            if let Some(server) = server {
                text.push_str(&format!("Server Version: {}\n", server["gitVersion"].as_str().unwrap_or("")));
            }
            text
        }
    }
}
