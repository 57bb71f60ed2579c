//! Dromon: Kubernetes in one binary. Flags, wiring and lifecycle; no logic of objects.
//!
//! Reading order: [`cli`], [`layout`] (what lies where), [`up`] (one cluster on this machine), [`cluster`] (how its
//! parts are put together), [`detach`], [`process`] (finding and ending it), [`down`], [`image`], [`demo`].

mod cli;
mod cluster;
mod demo;
mod detach;
mod dns_server;
mod down;
mod image;
mod layout;
mod logging;
mod node;
mod process;
mod progress;
mod status;
mod up;

use std::process::ExitCode;

use clap::Parser;
use cli::{Command, DemoCommand};

fn main() -> ExitCode {
    // Before anything that has threads: the shim and the pause program live alone in their processes.
    let arguments: Vec<String> = std::env::args().collect();
    if let Some("shim") = arguments.get(1).map(String::as_str) {
        return exit_code(runtime::shim_main(&arguments[2..]));
    }
    // A container runtime calls the program so when it is its CNI plugin.
    if std::env::var_os("CNI_COMMAND").is_some() {
        let env = |name: &str| std::env::var(name).ok();
        return exit_code(network::cni::run(&env, &mut std::io::stdin(), &mut std::io::stdout()));
    }
    if let Some(line) = kubectl_line(&arguments) {
        return exit_code(kubectl::run(line));
    }
    match run(cli::Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What follows `dromon kubectl`, or the name kubectl.
fn kubectl_line(arguments: &[String]) -> Option<&[String]> {
    let (name, rest) = arguments.split_first()?;
    let name = std::path::Path::new(name).file_name()?;
    match rest.split_first() {
        Some((first, rest)) if first == "kubectl" && name != "kubectl" => Some(rest),
        _ => (name == "kubectl").then_some(rest),
    }
}

fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

fn run(arguments: cli::Arguments) -> anyhow::Result<()> {
    match arguments.command {
        Command::Up(options) if options.detach => detach::up(&options),
        Command::Up(options) => up::run(&options),
        Command::Down(at) => down::down(&at.data_dir),
        Command::Reset(options) => down::reset(&options.at.data_dir, options.yes),
        Command::Status(at) => status::run(&at.data_dir),
        Command::Image(command) => image::run(command),
        Command::Demo { command: DemoCommand::Serve { port } } => demo::serve(port),
    }
}
