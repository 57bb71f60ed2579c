//! `kubectl create`: from files, or by a generator for each common kind.
//!
//! Upstream: kubectl/pkg/cmd/create. Reading order: this file (`-f`), [`generate`], then the kinds.

mod access;
mod config_data;
mod generate;
mod network;
mod policy;
mod token;

pub use access::subjects;
pub use generate::{command_words, pairs};
mod workloads;

use http::Method;

use crate::change::{Changes, save_config};
use crate::cli::shared::{DRY_RUN, FILES, PRINT, RECORD, SAVE_CONFIG, SELECTOR, VALIDATE, manager};
use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::resources::{Wanted, for_each};

pub const COMMAND: Command = Command::new("create", "Create a resource from a file or from stdin", "create -f FILENAME")
    .details("Create a resource from a file or from stdin, or a resource of a common kind from flags.\n\nJSON and YAML are read.")
    .examples("# From a file\nkubectl create -f web.yaml\n\n# From standard input\ncat web.yaml | kubectl create -f -")
    .commands(&[
        access::CLUSTER_ROLE,
        access::CLUSTER_ROLE_BINDING,
        config_data::CONFIG_MAP,
        workloads::CRON_JOB,
        workloads::DEPLOYMENT,
        network::INGRESS,
        workloads::JOB,
        policy::NAMESPACE,
        policy::DISRUPTION_BUDGET,
        policy::PRIORITY_CLASS,
        policy::QUOTA,
        access::ROLE,
        access::ROLE_BINDING,
        config_data::SECRET,
        network::SERVICE,
        policy::SERVICE_ACCOUNT,
        token::COMMAND,
    ])
    .flags(&[
        PRINT,
        DRY_RUN,
        FILES,
        SELECTOR,
        SAVE_CONFIG,
        VALIDATE,
        RECORD,
        manager!("kubectl-create"),
        &[
            Flag::switch("edit", "Edit the objects before they are created; not built yet."),
            Flag::text("raw", "A path to POST the file to."),
            Flag::switch("windows-line-endings", "For --edit."),
        ],
    ])
    .run(|cx| Box::pin(run(cx)));

async fn run(cx: Context) -> Result {
    let wanted = Wanted::of(&cx);
    if !wanted.args.is_empty() {
        return Err(cx.usage(format!("Unexpected args: [{}]", wanted.args.join(" "))));
    }
    if wanted.files.is_empty() {
        eprint!("Error: must specify one of -f and -k\n\n");
        crate::say(&crate::cli::help::page(&COMMAND, &cx.path));
        return Err(Error::Exit(1));
    }
    if cx.flags.on("edit") {
        return Err(Error::said("--edit is not built yet: create the object, then use kubectl edit"));
    }
    if !cx.flags.text("raw").is_empty() {
        return crate::change::raw(&cx, Method::POST, &wanted.files).await;
    }
    let mut changes = Changes::of(&cx)?;
    let (cx, save) = (&cx, cx.flags.on("save-config"));
    for_each(cx, &wanted, async |mut info| {
        if save {
            save_config(&mut info.object);
        }
        let made = changes.create(cx, &info).await.map_err(|error| error.doing("creating", &info.source))?;
        changes.tell(&made, "created")
    })
    .await?;
    Ok(())
}
