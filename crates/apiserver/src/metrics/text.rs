//! A kubelet's /metrics/resource as one look at a node.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

/// Counters of one node at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Look {
    pub node: Counters,
    pub containers: BTreeMap<Place, Counters>,
}

/// Namespace, pod, container.
pub(super) type Place = (String, String, String);

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counters {
    pub at: Timestamp,
    pub cpu_seconds: Option<f64>,
    pub memory_bytes: Option<f64>,
    pub started: Option<Timestamp>,
}

/// Lines that are not understood are somebody else's. `now` stands for times that are not told.
pub(super) fn parse(text: &str, now: Timestamp) -> Look {
    let mut look = Look { node: Counters { at: now, ..Counters::default() }, ..Look::default() };
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(sample) = sample(line) {
            take(&mut look, &sample, now);
        }
    }
    look
}

fn take(look: &mut Look, sample: &Sample<'_>, now: Timestamp) {
    let label = |name: &str| sample.labels.get(name).cloned().unwrap_or_default();
    let counters = match sample.name.split_once('_') {
        Some(("node", _)) => &mut look.node,
        Some(("container", _)) => {
            let place = (label("namespace"), label("pod"), label("container"));
            look.containers.entry(place).or_insert_with(|| Counters { at: now, ..Counters::default() })
        }
        _ => return,
    };
    let value = Some(sample.value);
    match sample.name {
        "node_cpu_usage_seconds_total" | "container_cpu_usage_seconds_total" => {
            (counters.cpu_seconds, counters.at) = (value, sample.at.unwrap_or(now));
        }
        "node_memory_working_set_bytes" | "container_memory_working_set_bytes" => {
            counters.memory_bytes = value;
        }
        "container_start_time_seconds" => {
            // Out of range only by a broken clock; then it is as if it were not told.
            counters.started = Timestamp::from_millisecond((sample.value * 1000.0) as i64).ok();
        }
        _ => {}
    }
}

struct Sample<'a> {
    name: &'a str,
    labels: HashMap<&'a str, String>,
    value: f64,
    at: Option<Timestamp>,
}

/// `name{label="value",…} value [milliseconds]`
fn sample(line: &str) -> Option<Sample<'_>> {
    let (name, labels, rest) = match line.split_once('{') {
        None => {
            let (name, rest) = line.split_once(' ')?;
            (name, HashMap::new(), rest)
        }
        Some((name, rest)) => {
            let (labels, rest) = labels(rest)?;
            (name, labels, rest)
        }
    };
    let mut words = rest.split_whitespace();
    let value = words.next()?.parse().ok()?;
    let at = words.next().and_then(|text| text.parse().ok());
    Some(Sample { name, labels, value, at: at.and_then(|at| Timestamp::from_millisecond(at).ok()) })
}

/// What stands between braces, and what follows them.
fn labels(mut text: &str) -> Option<(HashMap<&str, String>, &str)> {
    let mut labels = HashMap::new();
    loop {
        text = text.trim_start_matches([',', ' ']);
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, rest) = text.split_once("=\"")?;
        let (value, rest) = quoted(rest)?;
        labels.insert(name.trim(), value);
        text = rest;
    }
}

/// Up to the closing quote; backslash escapes it, itself and the line feed.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match letters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn reads_what_kubelets_write() {
        let text = r#"# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="c",namespace="n",pod="p"} 1.5 1700000000123
container_memory_working_set_bytes{container="c",namespace="n",pod="p"} 1.048576e+06 1700000000123
container_start_time_seconds{container="c",namespace="n",pod="p"} 1.69999999e+09
container_swap_usage_bytes{container="c",namespace="n",pod="p"} 0
pod_cpu_usage_seconds_total{namespace="n",pod="p"} 1.6
node_cpu_usage_seconds_total 12.25
half a line{
"#;
        let look = parse(text, Timestamp::UNIX_EPOCH);
        let container = look.containers.values().next().expect("one");
        expect![[r#"
            [("n", "p", "c")]
            Some(1.5) Some(1048576.0) 2023-11-14T22:13:20.123Z Some(1699999990)
            Some(12.25) None"#]]
        .assert_eq(&format!(
            "{:?}\n{:?} {:?} {} {:?}\n{:?} {:?}",
            look.containers.keys().collect::<Vec<_>>(),
            container.cpu_seconds,
            container.memory_bytes,
            container.at,
            container.started.map(Timestamp::as_second),
            look.node.cpu_seconds,
            look.node.memory_bytes,
        ));
    }
}
