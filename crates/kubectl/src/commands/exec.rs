//! `kubectl exec` and `kubectl attach`.

use std::io::IsTerminal;

use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::pods::{Quiet, container_of, pod_of};
use crate::resources::files;
use crate::session::Session;

const CONTAINER: Flag =
    Flag::text("container", "The container; the pod's default, or its first, if empty.").short('c');
const STDIN: Flag = Flag::switch("stdin", "Pass standard input on.").short('i');
const TTY: Flag = Flag::switch("tty", "Give the command a terminal.").short('t');
const QUIET: Flag = Flag::switch("quiet", "Only what the command prints.").short('q');
const PATIENCE: Flag = Flag::duration("pod-running-timeout", "1m0s", "Longest wait for a pod.");

pub const EXEC: Command = Command::new(
    "exec",
    "Execute a command in a container",
    "(POD | TYPE/NAME) [-c CONTAINER] [flags] -- COMMAND [args...]",
)
.examples(
    "# One command\nkubectl exec web-1 -- date\n\n# A shell with a terminal\nkubectl exec -it web-1 -- sh",
)
.flags(&[&[
    CONTAINER,
    STDIN,
    TTY,
    QUIET,
    PATIENCE,
    Flag::list("filename", "File with the object.").short('f'),
]])
.run(|cx| Box::pin(exec(cx)));

pub const ATTACH: Command =
    Command::new("attach", "Attach to a running container", "(POD | TYPE/NAME) -c CONTAINER")
        .flags(&[&[
            CONTAINER,
            STDIN,
            TTY,
            QUIET,
            PATIENCE,
            Flag::text("detach-keys", "Taken for compatibility.").default("ctrl-p,ctrl-q"),
        ]])
        .run(|cx| Box::pin(attach(cx)));

async fn exec(cx: Context) -> Result {
    let files = cx.flags.list("filename");
    let dash = cx.dash;
    let (target, command) = match (files.is_empty(), dash) {
        (true, Some(0)) | (true, None) if cx.args.is_empty() || dash == Some(0) => {
            return Err(Error::said("pod, type/name or --filename must be specified"));
        }
        (true, Some(dash)) => (cx.args[0].clone(), cx.args[dash..].to_vec()),
        (true, None) => (cx.args[0].clone(), cx.args[1..].to_vec()),
        (false, dash) => (String::new(), cx.args[dash.unwrap_or(0)..].to_vec()),
    };
    if dash.is_some_and(|dash| files.is_empty() && dash > 1) {
        return Err(
            cx.usage("exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead")
        );
    }
    if dash.is_none() && !command.is_empty() {
        return Err(
            cx.usage("exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead")
        );
    }
    if command.is_empty() {
        return Err(cx.usage("you must specify at least one command for the container"));
    }
    let target = if files.is_empty() { target } else { from_file(&cx, &files).await? };
    let pod = pod_of(&cx, &target, cx.flags.duration("pod-running-timeout")).await?;
    let phase = pod.object["status"]["phase"].as_str().unwrap_or("");
    if matches!(phase, "Succeeded" | "Failed") {
        return Err(Error::said(format!(
            "cannot exec into a container in a completed pod; current phase is {phase}"
        )));
    }
    let quiet = if cx.flags.on("quiet") { Quiet::Yes } else { Quiet::No };
    let container = container_of(&pod, cx.flags.text("container"), quiet)?;
    let (stdin, tty) = streams(&cx);
    Session { verb: "exec", container: &container, command: &command, stdin, tty }.run(&cx, &pod).await
}

async fn from_file(cx: &Context, names: &[String]) -> Result<String> {
    let info = files::infos(cx, names, false, false).await?.into_iter().next();
    let info = info.ok_or_else(|| Error::said("no object in the file"))??;
    Ok(format!("{}/{}", info.resource.full_name(), info.name))
}

/// A terminal only where input comes from one.
fn streams(cx: &Context) -> (bool, bool) {
    let (stdin, tty) = (cx.flags.on("stdin"), cx.flags.on("tty"));
    if tty && !stdin {
        return (false, true);
    }
    if tty && !std::io::stdin().is_terminal() {
        if !cx.flags.on("quiet") {
            eprintln!("Unable to use a TTY - input is not a terminal or the right kind of file");
        }
        return (stdin, false);
    }
    (stdin, tty)
}

async fn attach(cx: Context) -> Result {
    let [target] = cx.args.as_slice() else {
        let text = if cx.args.is_empty() {
            "at least 1 argument is required for attach".to_owned()
        } else {
            format!(
                "expected POD, TYPE/NAME, or TYPE NAME, (at most 2 arguments) saw {}: [{}]",
                cx.args.len(),
                cx.args.join(" ")
            )
        };
        return Err(cx.usage(text));
    };
    let pod = pod_of(&cx, target, cx.flags.duration("pod-running-timeout")).await?;
    let phase = pod.object["status"]["phase"].as_str().unwrap_or("");
    if matches!(phase, "Succeeded" | "Failed") {
        return Err(Error::said(format!(
            "cannot attach a container in a completed pod; current phase is {phase}"
        )));
    }
    let quiet = if cx.flags.on("quiet") { Quiet::Yes } else { Quiet::No };
    let container = container_of(&pod, cx.flags.text("container"), quiet)?;
    let (stdin, tty) = streams(&cx);
    if quiet == Quiet::No && stdin && tty {
        eprintln!("If you don't see a command prompt, try pressing enter.");
    }
    Session { verb: "attach", container: &container, command: &[], stdin, tty }.run(&cx, &pod).await
}
