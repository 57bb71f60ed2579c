//! `kill -9` at any instant: nothing acknowledged as synced is lost, and no revision is given out twice.
//!
//! The test runs itself again as a child that writes and prints what was acknowledged; the parent kills it at a
//! random instant, reopens the store and compares.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use stdx::Random;
use store::embedded::{self, Options};
use store::{Durability, Engine, Op, Range, Revision};
use tempfile::TempDir;

const KILLS: u64 = 200;
const FOLDER: &str = "DROMON_CRASH_FOLDER";
const SEED: &str = "DROMON_CRASH_SEED";
const WRITERS: u64 = 4;
const KEYS: u64 = 40;

/// What the parent knows of a key.
#[derive(Clone, Debug, PartialEq)]
struct Known {
    revision: Revision,
    /// `None` if it was deleted.
    value: Option<String>,
}

#[test]
fn kill_loses_nothing_acknowledged() {
    if let Ok(folder) = std::env::var(FOLDER) {
        let seed = std::env::var(SEED).unwrap().parse().unwrap();
        return runtime().block_on(write_until_killed(Path::new(&folder), seed));
    }
    let root = TempDir::new().unwrap();
    let random = Random::seeded(36);
    let mut known = BTreeMap::new();
    let mut highest = Revision(1);
    let mut acknowledged = 0;
    for round in 0..KILLS {
        let lines = run_child_and_kill_it(root.path(), round, Duration::from_micros(random.below(60_000)));
        acknowledged += lines.len();
        let mut deleting = BTreeSet::new();
        for line in &lines {
            if let Some(key) = line.strip_prefix("try ") {
                deleting.insert(key.to_owned());
                continue;
            }
            let (key, state) = parse(line);
            deleting.remove(&key);
            highest = highest.max(state.revision);
            known.insert(key, state);
        }
        highest = runtime().block_on(check(root.path(), round, &mut known, &deleting, highest));
    }
    assert!(acknowledged > 1000, "the children hardly wrote: {acknowledged}");
    println!("{acknowledged} acknowledged writes in {KILLS} rounds, revision {highest}");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn open(folder: &Path) -> Arc<dyn Engine> {
    // Small segments: many kills then hit the moment when one is brought into the table.
    embedded::open(folder, Options { segment_bytes: 16 << 10, ..Options::default() }).unwrap()
}

/// The lines that the child printed whole before it was killed, `after` its first acknowledgement or its start.
fn run_child_and_kill_it(folder: &Path, round: u64, after: Duration) -> Vec<String> {
    let mut child = start_child(folder, round);
    let mut output = BufReader::new(child.stdout.take().unwrap());
    // Every fourth child dies while it opens the store.
    let mut lines = Vec::new();
    if !round.is_multiple_of(4) {
        lines.extend(read_line(&mut output));
    }
    std::thread::sleep(after / if round.is_multiple_of(4) { 6 } else { 1 });
    child.kill().unwrap();
    lines.extend(std::iter::from_fn(|| read_line(&mut output)));
    child.wait().unwrap();
    lines
}

fn start_child(folder: &Path, round: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["kill_loses_nothing_acknowledged", "--exact", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(SEED, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The next line that the child itself printed; `None` at the end, or if the last line was cut off.
fn read_line(output: &mut impl BufRead) -> Option<String> {
    loop {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        if !line.ends_with('\n') {
            return None;
        }
        // The test harness prints before the child's first line, on the same line.
        if let Some(at) = line.find("ack ").or_else(|| line.find("try ")) {
            return Some(line[at..].trim_end().to_owned());
        }
    }
}

/// `ack KEY REVISION VALUE`; without a value the key was deleted.
fn parse(line: &str) -> (String, Known) {
    let mut words = line.split(' ').skip(1);
    let key = words.next().unwrap().to_owned();
    let revision = Revision(words.next().unwrap().parse().unwrap());
    (key, Known { revision, value: words.next().map(str::to_owned) })
}

/// Compares the store with what is known, takes over what was written but not acknowledged, and returns the highest
/// revision ever seen.
async fn check(
    folder: &Path,
    round: u64,
    known: &mut BTreeMap<String, Known>,
    deleting: &BTreeSet<String>,
    highest: Revision,
) -> Revision {
    let engine = open(folder);
    let found = engine.range(Range::prefix("")).await.unwrap();
    assert!(found.revision >= highest, "round {round}: revision went from {highest} to {}", found.revision);
    let found_keys: BTreeMap<_, _> =
        found.kvs.iter().map(|kv| (String::from_utf8_lossy(&kv.key).into_owned(), kv)).collect();
    for (key, state) in known.iter_mut().filter(|(key, _)| !key.starts_with("relaxed")) {
        let kv = found_keys.get(key);
        let value = kv.map(|kv| String::from_utf8_lossy(&kv.value).into_owned());
        let is_as_acknowledged =
            value == state.value && kv.is_none_or(|kv| kv.mod_revision == state.revision);
        // A later write of the same key may have been on its way.
        let is_later = kv.map_or(deleting.contains(key), |kv| kv.mod_revision > state.revision);
        assert!(is_as_acknowledged || is_later, "round {round}: {key} was {state:?}, is {kv:?}");
        *state = Known { revision: kv.map_or(state.revision, |kv| kv.mod_revision), value };
    }
    // A revision that a child could use again would show here.
    let op = Op::put("probe", round.to_string());
    let probe = engine.txn(vec![], vec![op], vec![]).await.unwrap().revision;
    assert!(probe > highest, "round {round}: {probe} was seen before");
    probe
}

async fn write_until_killed(folder: &Path, seed: u64) {
    let engine = open(folder);
    let random = Random::seeded(seed);
    let writers = (0..WRITERS).map(|writer| write(engine.clone(), random.clone(), seed, writer));
    futures::future::join_all(writers).await;
}

/// Each writer has keys of its own, so that it knows what it expects.
async fn write(engine: Arc<dyn Engine>, random: Random, seed: u64, writer: u64) {
    for n in 0u64.. {
        let relaxed = random.below(4) == 0;
        let key = format!("{}/{writer}/{}", if relaxed { "relaxed" } else { "synced" }, random.below(KEYS));
        let op = if random.below(4) == 0 {
            // Otherwise a deletion that was done but not acknowledged would look like a loss.
            print(&format!("try {key}\n"));
            Op::delete(key.clone())
        } else {
            Op::put(key.clone(), format!("{seed}-{n}-{}", "x".repeat(random.below(300) as usize)))
        };
        let durability = if relaxed { Durability::Relaxed } else { Durability::Synced };
        let value = match &op {
            Op::Put { value, .. } => format!(" {}", String::from_utf8_lossy(value)),
            _ => String::new(),
        };
        let revision = engine.txn(vec![], vec![op.durability(durability)], vec![]).await.unwrap().revision;
        print(&format!("ack {key} {revision}{value}\n"));
    }
}

/// At once and whole: what is printed later than a kill is not printed.
fn print(line: &str) {
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}
