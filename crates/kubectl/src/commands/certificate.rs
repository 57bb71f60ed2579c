//! `kubectl certificate approve` and `deny`.

use http::Method;
use serde_json::{Value, json};

use crate::change::Changes;
use crate::cli::shared::{FILES, PRINT};
use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::resources::{Wanted, for_each};
use crate::rest::Ask;

const FORCE: &[Flag] = &[Flag::switch("force", "Also where it was decided before.")];

const APPROVE: Command =
    Command::new("approve", "Approve a certificate signing request", "(-f FILENAME | NAME)")
        .flags(&[PRINT, FILES, FORCE])
        .run(|cx| Box::pin(decide(cx, "Approved")));
const DENY: Command = Command::new("deny", "Deny a certificate signing request", "(-f FILENAME | NAME)")
    .flags(&[PRINT, FILES, FORCE])
    .run(|cx| Box::pin(decide(cx, "Denied")));

pub const COMMAND: Command =
    Command::new("certificate", "Modify certificate resources", "SUBCOMMAND").commands(&[APPROVE, DENY]);

async fn decide(cx: Context, kind: &'static str) -> Result {
    let mut wanted = Wanted::of(&cx).latest();
    if wanted.is_empty() {
        return Err(Error::said("one or more CSRs must be specified as <name> or -f <filename>"));
    }
    if !wanted.args.is_empty() && !wanted.args[0].contains('/') {
        wanted.args.insert(0, "certificatesigningrequests.certificates.k8s.io".to_owned());
    }
    let (word, reason, other) = if kind == "Approved" {
        ("approved", "KubectlApprove", "Denied")
    } else {
        ("denied", "KubectlDeny", "Approved")
    };
    let mut changes = Changes::of(&cx)?;
    let (cx, force) = (&cx, cx.flags.on("force"));
    for_each(cx, &wanted, async |info| {
        let mut object = info.object.clone();
        let mut conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let has = |list: &[Value], kind: &str| list.iter().any(|condition| condition["type"] == kind);
        if has(&conditions, other) && !force {
            return Err(Error::said(format!("certificate signing request {:?} is already {}", info.name, other.to_lowercase())));
        }
        if !has(&conditions, kind) || force {
            conditions.retain(|condition| condition["type"] != kind);
            let now = crate::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            conditions.push(json!({
                "type": kind, "status": "True", "reason": reason, "lastUpdateTime": now,
                "message": format!("This CSR was {word} by kubectl certificate {}.", if kind == "Approved" { "approve" } else { "deny" }),
            }));
            object["status"]["conditions"] = Value::Array(conditions);
            object = cx.rest().await?.json(&Ask::with(Method::PUT, format!("{}/approval", info.path()), &object)).await?;
        }
        changes.tell(&object, word)
    })
    .await?;
    Ok(())
}
