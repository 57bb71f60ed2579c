//! `up --detach`: the cluster in a process of its own, its progress on our terminal until it is ready.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cli::Up;
use crate::layout::Layout;
use crate::progress::{READY, say};

pub fn up(options: &Up) -> Result<()> {
    let layout = Layout::create(&options.at.data_dir)?;
    let program = std::env::current_exe().context("cannot find this program")?;
    let log = layout.log();
    let errors = std::fs::OpenOptions::new().create(true).append(true).open(&log);
    let errors = errors.with_context(|| format!("cannot open {}", log.display()))?;
    let mut child = Command::new(program)
        .args(["up", "--tell-ready"])
        .arg("--data-dir")
        .arg(layout.root())
        .args(["--api-port", &options.api_port.to_string()])
        .args(["--kubelet-port", &options.kubelet_port.to_string()])
        .args(["--pod-cidr", &options.pod_cidr])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors)
        // A group of its own: Ctrl-C at this terminal is not meant for it.
        .process_group(0)
        .spawn()
        .context("cannot start the cluster's process")?;
    let output = child.stdout.take().expect("piped");
    for line in BufReader::new(output).lines() {
        match line.context("cannot follow the cluster's start")? {
            line if line == READY => return Ok(()),
            line => say(&line),
        }
    }
    let status = child.wait().context("cannot wait for the cluster's process")?;
    bail!("the cluster did not come up ({status}); see {}", log.display())
}
