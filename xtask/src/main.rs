//! What the project does to itself: `cargo xtask test`, `tidy`, `schema`, `bench`.

mod bench;
mod layers;
mod run;
mod schema;
mod test;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Works on the project itself")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Every check and every test: format, lints, layers, units, real containers.
    Test,
    /// Format and lints only.
    Tidy,
    /// Regenerate crates/api/schema from pinned registry packages.
    Schema,
    /// Figures of a real cluster on this machine: start, memory, idle CPU, pods, requests.
    Bench(bench::Options),
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Test => test::all(),
        Task::Tidy => test::tidy(),
        Task::Schema => schema::run(&run::root()),
        Task::Bench(options) => bench::run(&options),
    }
}
