//! `/metrics/resource`: counters from which others make rates.
//!
//! Upstream: pkg/kubelet/metrics/collectors/resource_metrics.go; names, labels and times to the letter.

use std::collections::BTreeMap;
use std::fmt::Write;

use cri::v1 as pb;
use jiff::Timestamp;

use super::Refusal;
use super::stats::{self, Owner};
use crate::context::Context;
use crate::pod_manager::Workers;

/// One family of metrics: its head once, then a line each.
struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl<'a> Family<'a> {
    fn new(text: &'a mut String, name: &'static str, kind: &str, help: &str) -> Self {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP {name} [STABLE] {help}\n# TYPE {name} {kind}");
        Self { text, name }
    }

    /// `labels` with their braces, or nothing.
    fn line(&mut self, labels: &str, value: f64, at: Option<i64>) {
        let at = at.map(|milliseconds| format!(" {milliseconds}")).unwrap_or_default();
        let _ = writeln!(self.text, "{}{labels} {value}{at}", self.name);
    }
}

/// A container and whose it is.
struct Measured<'a> {
    owner: Owner<'a>,
    stats: &'a pb::ContainerStats,
}

impl Measured<'_> {
    fn labels(&self) -> String {
        let Owner { pod, namespace, container, .. } = self.owner;
        format!("{{container={container:?},namespace={namespace:?},pod={pod:?}}}")
    }

    fn pod_labels(&self) -> String {
        format!("{{namespace={:?},pod={:?}}}", self.owner.namespace, self.owner.pod)
    }

    fn cpu_at(&self) -> Option<i64> {
        self.stats.cpu.as_ref().map(|cpu| cpu.timestamp / 1_000_000)
    }

    fn memory_at(&self) -> Option<i64> {
        self.stats.memory.as_ref().map(|memory| memory.timestamp / 1_000_000)
    }
}

pub(super) async fn text(context: &Context, workers: &Workers) -> Result<String, Refusal> {
    let all = stats::containers(context).await?;
    let measured: Vec<Measured<'_>> =
        all.iter().filter_map(|stats| Some(Measured { owner: stats::owner(stats)?, stats })).collect();
    Ok(render(&measured, |uid, id| stats::started(workers, uid, id), context.config.clock.now()))
}

fn render(
    measured: &[Measured<'_>],
    started: impl Fn(&str, &str) -> Option<Timestamp>,
    now: Timestamp,
) -> String {
    let mut text = String::new();
    containers(&mut text, measured, started);
    pods(&mut text, measured);
    node(&mut text, now);
    let mut errors = Family::new(
        &mut text,
        "resource_scrape_error",
        "gauge",
        "1 if there was an error while getting container metrics, 0 otherwise",
    );
    errors.line("", 0.0, None);
    text
}

fn containers(
    text: &mut String,
    measured: &[Measured<'_>],
    started: impl Fn(&str, &str) -> Option<Timestamp>,
) {
    let help = "Cumulative cpu time consumed by the container in core-seconds";
    let mut family = Family::new(text, "container_cpu_usage_seconds_total", "counter", help);
    for one in measured {
        family.line(&one.labels(), stats::cpu(one.stats) as f64 / 1e9, one.cpu_at());
    }
    let help = "Current working set of the container in bytes";
    let mut family = Family::new(text, "container_memory_working_set_bytes", "gauge", help);
    for one in measured {
        family.line(&one.labels(), stats::memory(one.stats) as f64, one.memory_at());
    }
    let help = "Start time of the container since unix epoch in seconds";
    let mut family = Family::new(text, "container_start_time_seconds", "gauge", help);
    for one in measured {
        if let Some(at) = started(one.owner.uid, stats::id(one.stats)) {
            family.line(&one.labels(), at.as_nanosecond() as f64 / 1e9, None);
        }
    }
    let help = "Current amount of the container swap usage in bytes";
    let mut family = Family::new(text, "container_swap_usage_bytes", "gauge", help);
    for one in measured {
        let swap = one.stats.swap.as_ref().and_then(|swap| swap.swap_usage_bytes.as_ref());
        if let Some(swap) = swap {
            family.line(&one.labels(), swap.value as f64, one.memory_at());
        }
    }
}

/// All containers of a pod together.
fn pods(text: &mut String, measured: &[Measured<'_>]) {
    let mut sums: BTreeMap<&str, (String, u64, u64, Option<i64>)> = BTreeMap::new();
    for one in measured {
        let sum = sums.entry(one.owner.uid).or_insert_with(|| (one.pod_labels(), 0, 0, one.cpu_at()));
        sum.1 += stats::cpu(one.stats);
        sum.2 += stats::memory(one.stats);
    }
    let help = "Cumulative cpu time consumed by the pod in core-seconds";
    let mut family = Family::new(text, "pod_cpu_usage_seconds_total", "counter", help);
    for (labels, cpu, _, at) in sums.values() {
        family.line(labels, *cpu as f64 / 1e9, *at);
    }
    let help = "Current working set of the pod in bytes";
    let mut family = Family::new(text, "pod_memory_working_set_bytes", "gauge", help);
    for (labels, _, memory, at) in sums.values() {
        family.line(labels, *memory as f64, *at);
    }
}

fn node(text: &mut String, now: Timestamp) {
    let at = Some(now.as_millisecond());
    let help = "Cumulative cpu time consumed by the node in core-seconds";
    let cpu = stats::node_cpu_nanoseconds() as f64 / 1e9;
    Family::new(text, "node_cpu_usage_seconds_total", "counter", help).line("", cpu, at);
    let help = "Current working set of the node in bytes";
    let (memory, _) = stats::node_memory_used();
    Family::new(text, "node_memory_working_set_bytes", "gauge", help).line("", memory as f64, at);
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use expect_test::expect;

    use super::*;
    use crate::runtime::labels;

    #[test]
    fn writes_as_upstream() {
        let labels = [
            (labels::POD_NAME, "p"),
            (labels::POD_NAMESPACE, "n"),
            (labels::POD_UID, "u"),
            (labels::CONTAINER_NAME, "c"),
        ];
        let labels: HashMap<String, String> =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let some = |value| Some(pb::UInt64Value { value });
        let stats = pb::ContainerStats {
            attributes: Some(pb::ContainerAttributes { id: "i".into(), labels, ..Default::default() }),
            cpu: Some(pb::CpuUsage {
                timestamp: 2_000_000_000,
                usage_core_nano_seconds: some(1_500_000_000),
                ..Default::default()
            }),
            memory: Some(pb::MemoryUsage {
                timestamp: 2_000_000_000,
                working_set_bytes: some(4096),
                ..Default::default()
            }),
            ..Default::default()
        };
        let one = Measured { owner: stats::owner(&stats).expect("known"), stats: &stats };
        let text = render(&[one], |_, _| Some(Timestamp::UNIX_EPOCH), Timestamp::UNIX_EPOCH);
        let plain = |line: &&str| !line.starts_with('#') && !line.starts_with("node");
        expect![[r#"
            container_cpu_usage_seconds_total{container="c",namespace="n",pod="p"} 1.5 2000
            container_memory_working_set_bytes{container="c",namespace="n",pod="p"} 4096 2000
            container_start_time_seconds{container="c",namespace="n",pod="p"} 0
            pod_cpu_usage_seconds_total{namespace="n",pod="p"} 1.5 2000
            pod_memory_working_set_bytes{namespace="n",pod="p"} 4096 2000
            resource_scrape_error 0"#]]
        .assert_eq(&text.lines().filter(plain).collect::<Vec<_>>().join("\n"));
    }
}
