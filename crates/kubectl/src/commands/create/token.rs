//! `create token`: a token of a service account.

use http::Method;
use serde_json::json;

use crate::cli::shared::PRINT;
use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::print::{Format, Printer};
use crate::rest::Ask;

pub const COMMAND: Command = Command::new("token", "Request a service account token", "SERVICE_ACCOUNT_NAME")
    .flags(&[
        PRINT,
        &[
            Flag::each("audience", "Who the token is for."),
            Flag::text(
                "bound-object-kind",
                "Kind of the object that it lives and dies with: Pod, Secret or Node.",
            ),
            Flag::text("bound-object-name", "Name of that object."),
            Flag::text("bound-object-uid", "UID of that object."),
            Flag::duration("duration", "0s", "How long it should hold."),
        ],
    ])
    .run(|cx| Box::pin(run(cx)));

async fn run(cx: Context) -> Result {
    let name = super::generate::name(&cx)?;
    let flags = &cx.flags;
    let mut spec = json!({});
    if !flags.list("audience").is_empty() {
        spec["audiences"] = json!(flags.list("audience"));
    }
    let seconds = flags.seconds("duration");
    if seconds < 0.0 {
        return Err(Error::said("--duration must be greater than or equal to 0"));
    }
    if seconds > 0.0 {
        spec["expirationSeconds"] = json!(flags.duration("duration").as_secs());
    }
    let kind = flags.text("bound-object-kind");
    if kind.is_empty()
        && !(flags.text("bound-object-name").is_empty() && flags.text("bound-object-uid").is_empty())
    {
        return Err(Error::said(
            "--bound-object-name and --bound-object-uid can only be set if --bound-object-kind is provided",
        ));
    }
    if !kind.is_empty() {
        if flags.text("bound-object-name").is_empty() {
            return Err(Error::said("--bound-object-name is required if --bound-object-kind is provided"));
        }
        spec["boundObjectRef"] = json!({"kind": kind, "apiVersion": "v1", "name": flags.text("bound-object-name"), "uid": flags.text("bound-object-uid")});
    }
    let request = json!({"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": {}, "spec": spec});
    let path = format!(
        "/api/v1/namespaces/{}/serviceaccounts/{}/token",
        cx.namespace().await?,
        crate::text::escape_path(&name)
    );
    let answer =
        cx.rest().await?.json(&Ask::with(Method::POST, path, &request)).await.map_err(
            |error| match error {
                Error::Status(status) => Error::Said(format!("failed to create token: {}", status.message)),
                other => other,
            },
        )?;
    match Format::of(&cx)? {
        Format::Plain => {
            let token = answer["status"]["token"]
                .as_str()
                .ok_or_else(|| Error::said("failed to create token: no token in server response"))?;
            crate::say(&format!("{token}\n"));
            Ok(())
        }
        format => Printer::new(&cx, format).print(&answer),
    }
}
