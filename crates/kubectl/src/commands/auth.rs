//! `kubectl auth`: can-i and whoami.

use http::Method;
use serde_json::{Value, json};

use crate::cli::shared::{ALL_NAMESPACES, PRINT};
use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::describe::rules;
use crate::error::{Error, Result};
use crate::print::{Format, Printer};
use crate::rest::Ask;
use crate::text;

const CAN_I: Command =
    Command::new("can-i", "Check whether an action is allowed", "VERB [TYPE | TYPE/NAME | NONRESOURCEURL]")
        .flags(&[
            ALL_NAMESPACES,
            &[
                Flag::switch("list", "All that is allowed."),
                Flag::switch("no-headers", "No line of headers."),
                Flag::switch("quiet", "Only the exit code.").short('q'),
                Flag::text("subresource", "Subresource to ask about."),
            ],
        ])
        .run(|cx| Box::pin(can_i(cx)));

const WHOAMI: Command = Command::new("whoami", "Experimental: Check self subject attributes", "")
    .flags(&[PRINT])
    .run(|cx| Box::pin(whoami(cx)));

pub const COMMAND: Command =
    Command::new("auth", "Inspect authorization", "[flags]").commands(&[CAN_I, WHOAMI]);

async fn review(cx: &Context, kind: &str, group: &str, plural: &str, spec: Value) -> Result<Value> {
    let mut body = json!({"apiVersion": format!("{group}/v1"), "kind": kind, "metadata": {}});
    if !spec.is_null() {
        body["spec"] = spec;
    }
    cx.rest().await?.json(&Ask::with(Method::POST, format!("/apis/{group}/v1/{plural}"), &body)).await
}

async fn can_i(cx: Context) -> Result {
    if cx.flags.on("list") {
        return list(&cx).await;
    }
    if cx.args.len() < 2 || cx.args.len() > 3 {
        return Err(Error::Said(format!(
            "you must specify two arguments: verb resource or verb resource/resourceName.\nSee '{} -h' for help and examples.",
            cx.path
        )));
    }
    let (verb, what) = (&cx.args[0], &cx.args[1]);
    let spec = if what.starts_with('/') {
        json!({"nonResourceAttributes": {"verb": verb, "path": what}})
    } else {
        let (typed, named) =
            what.split_once('/').unwrap_or((what, cx.args.get(2).map_or("", String::as_str)));
        let mut attributes =
            json!({"verb": verb, "name": named, "subresource": cx.flags.text("subresource")});
        match cx.resource(typed).await {
            Ok(resource) => {
                attributes["group"] = resource.group.clone().into();
                attributes["resource"] = resource.plural.clone().into();
                if !resource.namespaced && !cx.flags.on("all-namespaces") && typed != "*" {
                    let of = match resource.group.as_str() {
                        "" => String::new(),
                        group => format!(" in group '{group}'"),
                    };
                    eprintln!("Warning: resource '{}' is not namespace scoped{of}\n", resource.plural);
                }
            }
            Err(_) => {
                if typed != "*" {
                    eprintln!("Warning: the server doesn't have a resource type '{typed}'\n");
                }
                let (plural, group) =
                    typed.split_once('.').unwrap_or((typed, if typed == "*" { "*" } else { "" }));
                attributes["group"] = group.into();
                attributes["resource"] = plural.into();
            }
        }
        if !cx.flags.on("all-namespaces") {
            attributes["namespace"] = cx.namespace().await?.into();
        }
        json!({"resourceAttributes": attributes})
    };
    let answer =
        review(&cx, "SelfSubjectAccessReview", "authorization.k8s.io", "selfsubjectaccessreviews", spec)
            .await?;
    let status = &answer["status"];
    let is_allowed = status["allowed"] == true;
    if !cx.flags.on("quiet") {
        let mut said = if is_allowed { "yes".to_owned() } else { "no".to_owned() };
        for (field, before) in [("reason", " - "), ("evaluationError", " - ")] {
            let text = status[field].as_str().unwrap_or("");
            if !is_allowed && !text.is_empty() {
                said.push_str(&format!("{before}{text}"));
            }
        }
        crate::say(&format!("{said}\n"));
    }
    if is_allowed { Ok(()) } else { Err(Error::Exit(1)) }
}

async fn list(cx: &Context) -> Result {
    let spec = json!({"namespace": cx.namespace().await?});
    let answer =
        review(cx, "SelfSubjectRulesReview", "authorization.k8s.io", "selfsubjectrulesreviews", spec).await?;
    let status = &answer["status"];
    if status["incomplete"] == true {
        eprintln!(
            "warning: the list may be incomplete: {}",
            status["evaluationError"].as_str().unwrap_or("")
        );
    }
    let mut all: Vec<Value> = status["resourceRules"].as_array().cloned().unwrap_or_default();
    all.extend(status["nonResourceRules"].as_array().cloned().unwrap_or_default());
    let mut rows = Vec::new();
    if !cx.flags.on("no-headers") {
        rows.push(["Resources", "Non-Resource URLs", "Resource Names", "Verbs"].map(str::to_owned).to_vec());
    }
    rows.extend(rules(&Value::Array(all)).into_iter().map(|row| row.to_vec()));
    crate::say(&text::columns(&rows));
    Ok(())
}

async fn whoami(cx: Context) -> Result {
    if !cx.args.is_empty() {
        return Err(Error::said(format!("unknown command {:?} for \"kubectl auth whoami\"", cx.args[0])));
    }
    let format = Format::of(&cx)?;
    let answer =
        review(&cx, "SelfSubjectReview", "authentication.k8s.io", "selfsubjectreviews", Value::Null).await?;
    if !matches!(format, Format::Plain) {
        return Printer::new(&cx, format).print(&answer);
    }
    let user = &answer["status"]["userInfo"];
    let mut rows = vec![vec!["ATTRIBUTE".to_owned(), "VALUE".to_owned()]];
    for (title, field) in [("Username", "username"), ("UID", "uid"), ("Groups", "groups")] {
        if !user[field].is_null() {
            rows.push(vec![title.to_owned(), crate::print::json::go_plain(&user[field])]);
        }
    }
    for (name, value) in user["extra"].as_object().into_iter().flatten() {
        rows.push(vec![format!("Extra: {name}"), crate::print::json::go_plain(value)]);
    }
    crate::say(&text::columns(&rows));
    Ok(())
}
