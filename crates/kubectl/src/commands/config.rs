//! `kubectl config`: what stands in kubeconfigs, and changes to them.
//!
//! Upstream: kubectl/pkg/cmd/config.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::cli::shared::PRINT_REST;
use crate::cli::{Command, Flag};
use crate::config::Kubeconfig;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::print::{Format, Printer};
use crate::text;

const VIEW: Command =
    Command::new("view", "Display merged kubeconfig settings or a specified kubeconfig file", "[flags]")
        .flags(&[
            &[Flag::text("output", "yaml, json, or a template.").short('o').default("yaml")],
            PRINT_REST,
            &[
                Flag::switch("flatten", "Put what files hold into the output."),
                Flag::switch("merge", "Merge all files.").default("true"),
                Flag::switch("minify", "Only what the current context uses."),
                Flag::switch("raw", "With certificates, keys and tokens."),
            ],
        ])
        .run(|cx| Box::pin(view(cx)));
const CURRENT: Command =
    Command::new("current-context", "Display the current-context", "[flags]").run(|cx| Box::pin(current(cx)));
const CONTEXTS: Command =
    Command::new("get-contexts", "Describe one or many contexts", "[(-o|--output=)name)]")
        .flags(&[&[
            Flag::switch("no-headers", "No line of headers."),
            Flag::text("output", "name, or nothing.").short('o'),
        ]])
        .run(|cx| Box::pin(contexts(cx)));
const CLUSTERS: Command =
    Command::new("get-clusters", "Display clusters defined in the kubeconfig", "[flags]")
        .run(|cx| Box::pin(names(cx, "clusters")));
const USERS: Command = Command::new("get-users", "Display users defined in the kubeconfig", "[flags]")
    .run(|cx| Box::pin(names(cx, "users")));
const USE: Command =
    Command::new("use-context", "Set the current-context in a kubeconfig file", "CONTEXT_NAME")
        .aliases(&["use"])
        .run(|cx| Box::pin(use_context(cx)));
const SET_CONTEXT: Command = Command::new(
    "set-context",
    "Set a context entry in kubeconfig",
    "[NAME | --current] [--cluster=cluster_nickname] [--user=user_nickname] [--namespace=namespace]",
)
.flags(&[&[
    Flag::switch("current", "Change the current context."),
    Flag::text("cluster", "Its cluster."),
    Flag::text("namespace", "Its namespace.").short('n'),
    Flag::text("user", "Its user."),
]])
.run(|cx| Box::pin(set_context(cx)));
const DELETE_CONTEXT: Command =
    Command::new("delete-context", "Delete the specified context from the kubeconfig", "NAME")
        .run(|cx| Box::pin(remove(cx, "contexts", "context")));
const DELETE_CLUSTER: Command =
    Command::new("delete-cluster", "Delete the specified cluster from the kubeconfig", "NAME")
        .run(|cx| Box::pin(remove(cx, "clusters", "cluster")));
const DELETE_USER: Command =
    Command::new("delete-user", "Delete the specified user from the kubeconfig", "NAME")
        .run(|cx| Box::pin(remove(cx, "users", "user")));
const RENAME: Command =
    Command::new("rename-context", "Rename a context from the kubeconfig file", "CONTEXT_NAME NEW_NAME")
        .run(|cx| Box::pin(rename(cx)));

pub const COMMAND: Command = Command::new("config", "Modify kubeconfig files", "SUBCOMMAND").commands(&[
    CURRENT,
    DELETE_CLUSTER,
    DELETE_CONTEXT,
    DELETE_USER,
    CLUSTERS,
    CONTEXTS,
    USERS,
    RENAME,
    SET_CONTEXT,
    USE,
    VIEW,
]);

fn load(cx: &Context) -> Result<Kubeconfig> {
    Kubeconfig::load(cx.flags.text("kubeconfig"))
}

async fn current(cx: Context) -> Result {
    let config = load(&cx)?;
    if config.current_context.is_empty() {
        return Err(Error::said("current-context is not set"));
    }
    crate::say(&format!("{}\n", config.current_context));
    Ok(())
}

async fn names(cx: Context, what: &str) -> Result {
    let config = load(&cx)?;
    let entries = if what == "clusters" { &config.clusters } else { &config.users };
    let mut names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    names.sort_unstable();
    crate::say(&format!("NAME\n{}", names.iter().map(|name| format!("{name}\n")).collect::<String>()));
    Ok(())
}

async fn contexts(cx: Context) -> Result {
    let config = load(&cx)?;
    let mut found: Vec<_> =
        config.contexts.iter().filter(|entry| cx.args.is_empty() || cx.args.contains(&entry.name)).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    let missing: Vec<Error> = cx
        .args
        .iter()
        .filter(|name| config.context(name).is_none())
        .map(|name| Error::said(format!("context {name} not found")))
        .collect();
    match cx.flags.text("output") {
        "name" => crate::say(&found.iter().map(|entry| format!("{}\n", entry.name)).collect::<String>()),
        "" => {
            let mut rows = Vec::new();
            if !cx.flags.on("no-headers") {
                rows.push(
                    ["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"].map(str::to_owned).to_vec(),
                );
            }
            for entry in found {
                let mark = if entry.name == config.current_context { "*" } else { "" };
                rows.push(
                    [mark, &entry.name, entry.text("cluster"), entry.text("user"), entry.text("namespace")]
                        .map(str::to_owned)
                        .to_vec(),
                );
            }
            crate::say(&text::columns(&rows));
        }
        other => return Err(Error::said(format!("output must be one of '' or 'name': {other}"))),
    }
    Error::all(missing)
}

const SECRETS: &[(&str, &str)] = &[
    ("certificate-authority-data", "DATA+OMITTED"),
    ("client-certificate-data", "DATA+OMITTED"),
    ("client-key-data", "DATA+OMITTED"),
    ("password", "REDACTED"),
    ("token", "REDACTED"),
];

async fn view(cx: Context) -> Result {
    let mut config = load(&cx)?;
    if cx.flags.on("minify") {
        minify(&cx, &mut config)?;
    }
    if !cx.flags.on("raw") {
        for entry in config.clusters.iter_mut().chain(&mut config.users) {
            for (field, shown) in SECRETS {
                if entry.value.contains_key(*field) {
                    entry.value.insert((*field).to_owned(), (*shown).into());
                }
            }
        }
    }
    Printer::new(&cx, Format::of(&cx)?).print(&config.to_value())
}

fn minify(cx: &Context, config: &mut Kubeconfig) -> Result {
    let asked = cx.flags.text("context");
    let name = if asked.is_empty() { config.current_context.clone() } else { asked.to_owned() };
    if name.is_empty() {
        return Err(Error::said("current-context must exist in order to minify"));
    }
    let context =
        config.context(&name).cloned().ok_or_else(|| Error::said(format!("cannot locate context {name}")))?;
    config.contexts.retain(|entry| entry.name == name);
    config.clusters.retain(|entry| entry.name == context.text("cluster"));
    config.users.retain(|entry| entry.name == context.text("user"));
    config.current_context = name;
    Ok(())
}

/// Changes the tree of the file that `owns` is true of, or else of the first.
fn edit(cx: &Context, owns: impl Fn(&Value) -> bool, change: impl FnOnce(&mut Value)) -> Result<PathBuf> {
    let paths = Kubeconfig::paths(cx.flags.text("kubeconfig"));
    let mut trees = Vec::new();
    for path in paths {
        let tree = match std::fs::read_to_string(&path) {
            Ok(text) => api::codec::yaml_tree(&text).map_err(|error| Error::said(error.to_string()))?.0,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Value::Null,
            Err(error) => {
                return Err(Error::said(format!(
                    "open {}: {}",
                    path.display(),
                    crate::files::reason(&error)
                )));
            }
        };
        trees.push((path, tree));
    }
    let at = trees.iter().position(|(_, tree)| owns(tree)).unwrap_or(0);
    let (path, mut tree) = trees.swap_remove(at);
    if tree.is_null() {
        tree = json!({"apiVersion": "v1", "kind": "Config"});
    }
    change(&mut tree);
    pki::write_atomic(&path, api::encode_yaml(&tree).as_bytes(), 0o600)
        .map_err(|error| Error::said(stdx::error_chain(&error)))?;
    Ok(path)
}

fn has(tree: &Value, list: &str, name: &str) -> bool {
    tree[list].as_array().into_iter().flatten().any(|entry| entry["name"] == name)
}

async fn use_context(cx: Context) -> Result {
    let [name] = cx.args.as_slice() else {
        return Err(cx.usage(format!("Unexpected args: [{}]", cx.args.join(" "))));
    };
    if load(&cx)?.context(name).is_none() {
        return Err(Error::said(format!("no context exists with the name: {name:?}")));
    }
    edit(
        &cx,
        |tree| tree["current-context"].as_str().is_some_and(|own| !own.is_empty()),
        |tree| tree["current-context"] = name.clone().into(),
    )?;
    crate::say(&format!("Switched to context {name:?}.\n"));
    Ok(())
}

async fn set_context(cx: Context) -> Result {
    let config = load(&cx)?;
    let name = match (cx.args.as_slice(), cx.flags.on("current")) {
        ([name], false) => name.clone(),
        ([], true) if config.current_context.is_empty() => {
            return Err(Error::said("no current context is set"));
        }
        ([], true) => config.current_context.clone(),
        _ => return Err(cx.usage("you must specify a non-empty context name or --current")),
    };
    let is_known = config.context(&name).is_some();
    edit(
        &cx,
        |tree| has(tree, "contexts", &name),
        |tree| {
            if !tree["contexts"].is_array() {
                tree["contexts"] = json!([]);
            }
            let Some(list) = tree["contexts"].as_array_mut() else { return };
            if !list.iter().any(|entry| entry["name"] == name.as_str()) {
                list.push(json!({"name": name, "context": {"cluster": "", "user": ""}}));
            }
            for entry in list.iter_mut().filter(|entry| entry["name"] == name.as_str()) {
                for field in ["cluster", "user", "namespace"] {
                    if cx.flags.has(field) {
                        entry["context"][field] = cx.flags.text(field).into();
                    }
                }
            }
        },
    )?;
    crate::say(&format!("Context {name:?} {}.\n", if is_known { "modified" } else { "created" }));
    Ok(())
}

async fn remove(cx: Context, list: &str, what: &str) -> Result {
    let [name] = cx.args.as_slice() else {
        return Err(cx.usage(format!("Unexpected args: [{}]", cx.args.join(" "))));
    };
    let config = load(&cx)?;
    let is_known = match list {
        "contexts" => config.context(name).is_some(),
        "clusters" => config.cluster(name).is_some(),
        _ => config.user(name).is_some(),
    };
    if !is_known {
        let path = Kubeconfig::paths(cx.flags.text("kubeconfig"))
            .first()
            .map(|path| path.display().to_string())
            .unwrap_or_default();
        return Err(Error::said(format!("cannot delete {what} {name}, not in {path}")));
    }
    if list == "contexts" && config.current_context == *name {
        eprintln!(
            "warning: this removed your active context, use \"kubectl config use-context\" to select a different one"
        );
    }
    let path = edit(
        &cx,
        |tree| has(tree, list, name),
        |tree| {
            if let Some(entries) = tree[list].as_array_mut() {
                entries.retain(|entry| entry["name"] != name.as_str());
            }
        },
    )?;
    crate::say(&format!("deleted {what} {name} from {}\n", path.display()));
    Ok(())
}

async fn rename(cx: Context) -> Result {
    let [old, new] = cx.args.as_slice() else {
        return Err(cx.usage(format!("Unexpected args: [{}]", cx.args.join(" "))));
    };
    let config = load(&cx)?;
    if config.context(old).is_none() {
        return Err(Error::said(format!("cannot rename the context {old:?}, it's not in the kubeconfig")));
    }
    if config.context(new).is_some() {
        return Err(Error::said(format!(
            "cannot rename the context {old:?}, the context {new:?} already exists"
        )));
    }
    edit(
        &cx,
        |tree| has(tree, "contexts", old),
        |tree| {
            for entry in tree["contexts"]
                .as_array_mut()
                .into_iter()
                .flatten()
                .filter(|entry| entry["name"] == old.as_str())
            {
                entry["name"] = new.clone().into();
            }
            if tree["current-context"] == old.as_str() {
                tree["current-context"] = new.clone().into();
            }
        },
    )?;
    crate::say(&format!("Context {old:?} renamed to {new:?}.\n"));
    Ok(())
}
