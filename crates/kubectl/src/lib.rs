//! `kubectl`: the command line of Kubernetes, against this server or any other.
//!
//! Knows nothing of a server's inside; does nothing before a command needs it, so that it starts in milliseconds.
//! Reading order: [`cli`] (commands and flags as data), [`config`] (kubeconfigs), [`rest`] (requests), [`discovery`],
//! [`context`] (what a command has at hand), [`resources`] (which objects a call means), [`print`], [`commands`].

mod change;
mod cli;
mod commands;
mod config;
mod context;
mod describe;
mod discovery;
mod error;
mod files;
mod merge;
mod pods;
mod print;
mod resources;
mod rest;
mod root;
mod session;
mod terminal;
mod text;
mod watch;

use std::io::Write;

/// Runs one command line, without the program's name, and gives the exit code.
pub fn run(line: &[String]) -> i32 {
    match root::run(line) {
        Ok(()) => 0,
        Err(error) => {
            let told = error.told();
            if !told.is_empty() {
                eprintln!("{told}");
            }
            error.code()
        }
    }
}

/// Prints on standard output.
///
/// A reader that went away (`kubectl … | head`) ends the program, as a signal ends other programs.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(141);
    }
}

/// The time now.
fn now() -> jiff::Timestamp {
    stdx::Clock::system().now()
}
