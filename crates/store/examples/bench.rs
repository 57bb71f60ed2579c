//! What the store can do on this machine, as a table: `cargo run --profile PROFILE -p store --example bench [FOLDER]`.
//!
//! The folder should lie on the disk in question; without one a temporary folder is used.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use stdx::Clock;
use store::embedded::{self, Options};
use store::{Durability, Engine, Op, Range, Revision, Want, memory};

type Failure = Box<dyn std::error::Error>;

const OBJECTS: usize = 50_000;
const VALUE_BYTES: usize = 1024;
const WATCHERS: usize = 200;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (folder, mode) = (arguments.next(), arguments.next());
    let done = match (&folder, mode.as_deref()) {
        (Some(folder), Some("memory")) => print_memory(Path::new(folder)),
        _ => run(folder.as_deref()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", stdx::error_chain(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run(folder: Option<&str>) -> Result<(), Failure> {
    let temporary = tempfile::TempDir::new()?;
    let folder = folder.map_or_else(|| temporary.path(), Path::new).join("bench");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure(&folder))
}

async fn measure(folder: &Path) -> Result<(), Failure> {
    let clock = Clock::system();
    let engine = embedded::open(folder, Options::default())?;
    fill(&engine).await?;
    engine.close().await?;
    drop(engine);
    row("memory per 1 KiB object", memory_per_object(folder)?, "bytes");
    let engine = embedded::open(folder, Options::default())?;

    for writers in [1, 64] {
        let rate = puts(&clock, &engine, writers, Durability::Synced).await?;
        row(&format!("synced puts, {writers} writers"), rate, "/s");
    }
    row("relaxed puts, 1 writer", puts(&clock, &engine, 1, Durability::Relaxed).await?, "/s");
    let memory = memory::open();
    row("puts in memory, 1 writer", puts(&clock, &memory, 1, Durability::Synced).await?, "/s");
    row("gets", gets(&clock, &engine).await?, "/s");
    let range = Range::prefix("/k/00");
    row("range over 10,000 keys", ranges(&clock, &engine, range.clone()).await?, "ms");
    row("count of 10,000 keys", ranges(&clock, &engine, range.want(Want::Count)).await?, "ms");
    row(
        "page of 500 with count of 50,000",
        ranges(&clock, &engine, Range::prefix("/k/").limit(500)).await?,
        "ms",
    );
    row(&format!("events to {WATCHERS} watchers"), fan_out(&clock).await?, "/s");

    engine.close().await?;
    drop(engine);
    let start = clock.monotonic();
    let engine = embedded::open(folder, Options::default())?;
    row("open with 50,000 objects", ms(clock.monotonic() - start), "ms");
    engine.close().await?;
    Ok(())
}

fn row(what: &str, number: f64, unit: &str) {
    println!("{what:<34} {number:>12.1} {unit}");
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn key(n: usize) -> String {
    format!("/k/{n:06}")
}

async fn put(
    engine: &Arc<dyn Engine>,
    n: usize,
    durability: Durability,
) -> Result<Revision, store::TxnError> {
    let value: Vec<u8> = (0..VALUE_BYTES).map(|at| (at * 31 + n) as u8).collect();
    let op = Op::put(key(n), value).durability(durability);
    Ok(engine.txn(vec![], vec![op], vec![]).await?.revision)
}

async fn fill(engine: &Arc<dyn Engine>) -> Result<(), Failure> {
    for start in (0..OBJECTS).step_by(500) {
        for result in join_all((start..start + 500).map(|n| put(engine, n, Durability::Synced))).await {
            result?;
        }
    }
    Ok(())
}

/// Puts a second, for two seconds, by so many tasks that each wait for their own.
async fn puts(
    clock: &Clock,
    engine: &Arc<dyn Engine>,
    writers: usize,
    durability: Durability,
) -> Result<f64, Failure> {
    let start = clock.monotonic();
    let end = start + Duration::from_secs(2);
    let tasks = (0..writers).map(|writer| async move {
        let mut done = 0;
        while clock.monotonic() < end {
            put(engine, (writer * 7919 + done * 104_729) % OBJECTS, durability).await?;
            done += 1;
        }
        Ok::<_, store::TxnError>(done)
    });
    let mut done = 0;
    for count in join_all(tasks).await {
        done += count?;
    }
    Ok(done as f64 / (clock.monotonic() - start).as_secs_f64())
}

async fn gets(clock: &Clock, engine: &Arc<dyn Engine>) -> Result<f64, Failure> {
    let start = clock.monotonic();
    for n in 0..200_000 {
        engine.get(key(n * 7919 % OBJECTS).as_bytes(), None).await?.ok_or("the key is missing")?;
    }
    Ok(200_000.0 / (clock.monotonic() - start).as_secs_f64())
}

async fn ranges(clock: &Clock, engine: &Arc<dyn Engine>, range: Range) -> Result<f64, Failure> {
    let start = clock.monotonic();
    for _ in 0..20 {
        engine.range(range.clone()).await?;
    }
    Ok(ms(clock.monotonic() - start) / 20.0)
}

/// Events a second that arrive at all watchers together.
async fn fan_out(clock: &Clock) -> Result<f64, Failure> {
    const EVENTS: usize = 2000;
    let engine = memory::open();
    let mut watches = Vec::new();
    for _ in 0..WATCHERS {
        watches.push(engine.watch("/k/".into(), Revision::ZERO).await?);
    }
    let start = clock.monotonic();
    let tasks = stdx::Tasks::new();
    for mut watch in watches {
        tasks.spawn("watcher", async move {
            let mut seen = 0;
            while seen < EVENTS {
                let Some(Ok(batch)) = watch.next().await else { return };
                seen += batch.events.len();
            }
        });
    }
    for n in 0..EVENTS {
        put(&engine, n, Durability::Synced).await?;
    }
    tasks.wait().await;
    Ok((EVENTS * WATCHERS) as f64 / (clock.monotonic() - start).as_secs_f64())
}

/// Asks a fresh process that only opens the store: in this one the allocator holds on to what was freed.
fn memory_per_object(folder: &Path) -> Result<f64, Failure> {
    let output = Command::new(std::env::current_exe()?).arg(folder).arg("memory").output()?;
    Ok(String::from_utf8(output.stdout)?.trim().parse::<f64>()? / OBJECTS as f64)
}

fn print_memory(folder: &Path) -> Result<(), Failure> {
    let before = resident_bytes()?;
    let _engine = embedded::open(folder, Options::default())?;
    println!("{}", resident_bytes()? - before);
    Ok(())
}

fn resident_bytes() -> Result<u64, Failure> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split(' ').nth(1).ok_or("statm has no second word")?.parse()?;
    Ok(pages * 4096)
}
