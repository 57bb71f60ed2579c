//! Who waits for what: pods that are ready to be tried, those that have to hold back, and those that no node fits.
//!
//! Upstream: pkg/scheduler/backend/queue, with hints and with pods taken out of back-off when nothing else is there.
//! Differs: what no event cures is tried again by a timer of its own, not by a sweep.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use stdx::Clock;
use tokio::task::JoinHandle;

use crate::framework::{Event, Framework, Hint, Kinds};
use crate::pod_info::PodInfo;

const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const MOST_BACKOFF: Duration = Duration::from_secs(10);
/// A pod that no event has cured is tried again after this long.
const FLUSH_AFTER: Duration = Duration::from_secs(300);

/// The profiles by scheduler name.
pub(crate) type Frameworks = HashMap<String, Framework>;

/// A pod with its history of attempts.
pub(crate) struct QueuedPod {
    pub info: Arc<PodInfo>,
    pub attempts: u32,
    /// What is still being written about the pod: the next write has to come after it.
    pub last_write: Option<JoinHandle<()>>,
    unschedulable: u32,
    errors: u32,
    rejected_by: BTreeSet<&'static str>,
    since: Duration,
}

impl QueuedPod {
    fn new(info: Arc<PodInfo>, now: Duration) -> Self {
        Self {
            info,
            attempts: 0,
            last_write: None,
            unschedulable: 0,
            errors: 0,
            rejected_by: BTreeSet::new(),
            since: now,
        }
    }

    /// When it may be tried again.
    fn ready_at(&self) -> Duration {
        let failures = if self.errors > 0 { self.errors } else { self.unschedulable };
        match failures.checked_sub(1) {
            None => self.since,
            Some(doublings) => self.since + (FIRST_BACKOFF * (1 << doublings.min(10))).min(MOST_BACKOFF),
        }
    }
}

type ActiveKey = (Reverse<i32>, Duration, u64, String);

enum Place {
    Active(ActiveKey),
    Backoff {
        at: Duration,
        order: u64,
    },
    Unschedulable {
        flush_at: Duration,
    },
    /// A PreEnqueue plugin keeps it out.
    Gated,
}

struct Entry {
    pod: QueuedPod,
    place: Place,
}

/// The three queues; the pod that is being tried is in none.
pub(crate) struct Queue {
    frameworks: Arc<Frameworks>,
    clock: Clock,
    entries: HashMap<String, Entry>,
    active: BTreeSet<ActiveKey>,
    backoff: BTreeSet<(Duration, u64, String)>,
    unschedulable: BTreeSet<(Duration, String)>,
    order: u64,
}

impl Queue {
    pub fn new(frameworks: Arc<Frameworks>, clock: Clock) -> Self {
        Self {
            frameworks,
            clock,
            entries: HashMap::new(),
            active: BTreeSet::new(),
            backoff: BTreeSet::new(),
            unschedulable: BTreeSet::new(),
            order: 0,
        }
    }

    /// A pod that is new, or that has changed in these ways.
    pub fn update(&mut self, info: Arc<PodInfo>, changed: Kinds) {
        let Some(mut entry) = self.take(&info.uid) else {
            return self.enqueue(QueuedPod::new(info, self.clock.monotonic()));
        };
        entry.pod.info = info.clone();
        let again = match entry.place {
            Place::Unschedulable { .. } => self.is_worth_a_try(&entry.pod, &Event::of(changed)),
            Place::Gated => true,
            Place::Active(_) | Place::Backoff { .. } => false,
        };
        if again { self.enqueue(entry.pod) } else { self.put_back(entry) }
    }

    pub fn remove(&mut self, uid: &str) {
        self.take(uid);
    }

    /// The next pod to try: by priority, then by time.
    pub fn pop(&mut self) -> Option<QueuedPod> {
        self.advance();
        let uid = match self.active.first() {
            Some((.., uid)) => uid.clone(),
            None => self.most_advanced_backoff()?,
        };
        let mut pod = self.take(&uid)?.pod;
        pod.attempts += 1;
        Some(pod)
    }

    /// Holding back protects busy schedulers only; but after an error it protects whoever failed.
    fn most_advanced_backoff(&self) -> Option<String> {
        let mut waiting = self.backoff.iter().map(|(.., uid)| uid);
        waiting.find(|uid| self.entries.get(*uid).is_some_and(|entry| entry.pod.errors == 0)).cloned()
    }

    /// When [`Queue::pop`] can next find something by time alone.
    pub fn next_timer(&self) -> Option<Duration> {
        let backoff = self.backoff.first().map(|(at, ..)| *at);
        let flush = self.unschedulable.first().map(|(at, _)| *at);
        let next = backoff.into_iter().chain(flush).min()?;
        Some(next.saturating_sub(self.clock.monotonic()))
    }

    /// No node fits; what the plugins named may be cured by events.
    pub fn park(&mut self, mut pod: QueuedPod, rejected_by: BTreeSet<&'static str>) {
        pod.since = self.clock.monotonic();
        pod.unschedulable += 1;
        pod.errors = 0;
        pod.rejected_by = rejected_by;
        let flush_at = pod.since + FLUSH_AFTER;
        self.put_back(Entry { pod, place: Place::Unschedulable { flush_at } });
    }

    /// Something failed that may work the next time.
    pub fn retry(&mut self, mut pod: QueuedPod) {
        pod.since = self.clock.monotonic();
        pod.errors += 1;
        pod.rejected_by.clear();
        self.enqueue(pod);
    }

    /// Gives the pods that the event may help another try.
    pub fn cure(&mut self, event: &Event<'_>) {
        if event.kinds.is_empty() {
            return;
        }
        let waiting = self.unschedulable.iter().filter_map(|(_, uid)| self.entries.get(uid));
        let worth: Vec<String> = waiting
            .filter(|entry| self.is_worth_a_try(&entry.pod, event))
            .map(|entry| entry.pod.info.uid.clone())
            .collect();
        self.enqueue_again(worth);
    }

    fn is_worth_a_try(&self, pod: &QueuedPod, event: &Event<'_>) -> bool {
        if pod.rejected_by.is_empty() {
            // There was no node at all.
            return event.kinds.intersects(Kinds::NODE_ADD);
        }
        let Some(framework) = self.frameworks.get(pod.info.scheduler_name()) else { return false };
        let mut plugins = pod.rejected_by.iter().filter_map(|name| framework.plugin(name));
        plugins.any(|plugin| {
            plugin.cures().intersects(event.kinds) && plugin.hint(&pod.info, event) == Hint::Queue
        })
    }

    /// Moves on what only waited for time.
    fn advance(&mut self) {
        let now = self.clock.monotonic();
        let ready = self.backoff.iter().take_while(|(at, ..)| *at <= now).map(|(.., uid)| uid.clone());
        let flush = self.unschedulable.iter().take_while(|(at, _)| *at <= now).map(|(_, uid)| uid.clone());
        let due = ready.chain(flush).collect();
        self.enqueue_again(due);
    }

    fn enqueue_again(&mut self, uids: Vec<String>) {
        for uid in uids {
            if let Some(entry) = self.take(&uid) {
                self.enqueue(entry.pod);
            }
        }
    }

    /// To the active queue, or wherever the pod has to wait before it.
    fn enqueue(&mut self, mut pod: QueuedPod) {
        if let Some(plugin) = self.gate(&pod.info) {
            pod.rejected_by = [plugin].into();
            return self.put_back(Entry { pod, place: Place::Gated });
        }
        self.order += 1;
        let at = pod.ready_at();
        let place = if at > self.clock.monotonic() {
            Place::Backoff { at, order: self.order }
        } else {
            Place::Active((Reverse(pod.info.priority), pod.since, self.order, pod.info.uid.clone()))
        };
        self.put_back(Entry { pod, place });
    }

    fn gate(&self, info: &PodInfo) -> Option<&'static str> {
        let framework = self.frameworks.get(info.scheduler_name())?;
        let mut verdicts = framework.pre_enqueue.iter().map(|plugin| plugin.pre_enqueue(info));
        verdicts.find_map(Result::err).map(|rejection| rejection.plugin)
    }

    fn take(&mut self, uid: &str) -> Option<Entry> {
        let entry = self.entries.remove(uid)?;
        match &entry.place {
            Place::Active(key) => self.active.remove(key),
            Place::Backoff { at, order } => self.backoff.remove(&(*at, *order, uid.to_owned())),
            Place::Unschedulable { flush_at } => self.unschedulable.remove(&(*flush_at, uid.to_owned())),
            Place::Gated => true,
        };
        Some(entry)
    }

    fn put_back(&mut self, entry: Entry) {
        let uid = entry.pod.info.uid.clone();
        match &entry.place {
            Place::Active(key) => self.active.insert(key.clone()),
            Place::Backoff { at, order } => self.backoff.insert((*at, *order, uid.clone())),
            Place::Unschedulable { flush_at } => self.unschedulable.insert((*flush_at, uid.clone())),
            Place::Gated => true,
        };
        self.entries.insert(uid, entry);
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::config::Profile;
    use crate::plugins;
    use crate::sources::Sources;
    use crate::testing::{node, node_from, pod, pod_with};

    struct Bench {
        clock: Clock,
        queue: Queue,
        told: String,
    }

    impl Bench {
        fn new() -> Self {
            let clock = Clock::manual(Timestamp::UNIX_EPOCH);
            let framework = plugins::framework(&Profile::default(), None, &Sources::none());
            let frameworks = Arc::new(Frameworks::from([("default-scheduler".to_owned(), framework)]));
            Self { queue: Queue::new(frameworks, clock.clone()), clock, told: String::new() }
        }

        fn say(&mut self, what: &str) -> &mut Self {
            let next = self.queue.next_timer().map_or("-".to_owned(), |next| format!("{}s", next.as_secs()));
            let (a, b, u) =
                (self.queue.active.len(), self.queue.backoff.len(), self.queue.unschedulable.len());
            let all = self.queue.entries.len();
            self.told +=
                &format!("{what}: active {a}, backoff {b}, unschedulable {u}, all {all}, next {next}\n");
            self
        }

        fn park(&mut self, by: &'static str) -> &mut Self {
            let pod = self.queue.pop().expect("a pod");
            self.queue.park(pod, [by].into());
            self.say("parked")
        }

        fn check(&self, expected: Expect) {
            expected.assert_eq(&self.told);
        }
    }

    #[test]
    fn the_more_important_goes_first_then_the_older() {
        let mut bench = Bench::new();
        bench.queue.update(pod("a", "1"), Kinds::NONE);
        bench.queue.update(pod("b", "1"), Kinds::NONE);
        bench.queue.update(pod_with("c", "1", json!({"priority": 5})), Kinds::NONE);
        let order: Vec<_> =
            std::iter::from_fn(|| bench.queue.pop()).map(|pod| pod.info.uid.clone()).collect();
        assert_eq!(order, ["c", "a", "b"]);
    }

    #[test]
    fn only_what_can_help_wakes_a_pod() {
        let mut bench = Bench::new();
        bench.queue.update(pod("a", "2"), Kinds::NONE);
        bench.say("added").park("NodeResourcesFit");
        bench.queue.cure(&Event::node(Kinds::NODE_LABEL, &node("n", "4")));
        bench.say("a label");
        bench.queue.cure(&Event::node(Kinds::NODE_ALLOCATABLE, &node("n", "1")));
        bench.say("too small a node");
        bench.queue.cure(&Event::node(Kinds::NODE_ALLOCATABLE, &node("n", "4")));
        bench.say("a node that has room").park("TaintToleration");
        let tainted =
            json!({"metadata": {"name": "n"}, "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}});
        bench.queue.cure(&Event::node(Kinds::NODE_TAINT, &node_from(tainted)));
        bench.say("still tainted");
        bench.queue.cure(&Event::node(Kinds::NODE_TAINT, &node("n", "1")));
        bench.say("no taint left");
        bench.check(expect![[r#"
            added: active 1, backoff 0, unschedulable 0, all 1, next -
            parked: active 0, backoff 0, unschedulable 1, all 1, next 300s
            a label: active 0, backoff 0, unschedulable 1, all 1, next 300s
            too small a node: active 0, backoff 0, unschedulable 1, all 1, next 300s
            a node that has room: active 0, backoff 1, unschedulable 0, all 1, next 1s
            parked: active 0, backoff 0, unschedulable 1, all 1, next 300s
            still tainted: active 0, backoff 0, unschedulable 1, all 1, next 300s
            no taint left: active 0, backoff 1, unschedulable 0, all 1, next 2s
        "#]]);
    }

    #[test]
    fn errors_hold_back_longer_each_time() {
        let mut bench = Bench::new();
        bench.queue.update(pod("a", "1"), Kinds::NONE);
        for _ in 0..5 {
            let pod = bench.queue.pop().expect("a pod");
            bench.queue.retry(pod);
            bench.say("failed");
            assert!(bench.queue.pop().is_none());
            let wait = bench.queue.next_timer().expect("a timer");
            bench.clock.advance(wait);
        }
        bench.check(expect![[r#"
            failed: active 0, backoff 1, unschedulable 0, all 1, next 1s
            failed: active 0, backoff 1, unschedulable 0, all 1, next 2s
            failed: active 0, backoff 1, unschedulable 0, all 1, next 4s
            failed: active 0, backoff 1, unschedulable 0, all 1, next 8s
            failed: active 0, backoff 1, unschedulable 0, all 1, next 10s
        "#]]);
    }

    #[test]
    fn what_nothing_cures_is_tried_after_five_minutes() {
        let mut bench = Bench::new();
        bench.queue.update(pod("a", "1"), Kinds::NONE);
        bench.park("NodeName");
        bench.clock.advance(Duration::from_secs(299));
        assert!(bench.queue.pop().is_none());
        bench.clock.advance(Duration::from_secs(1));
        assert_eq!(bench.queue.pop().map(|pod| pod.attempts), Some(2));
    }

    #[test]
    fn a_gated_pod_waits_for_its_gates_only() {
        let mut bench = Bench::new();
        bench.queue.update(pod_with("a", "1", json!({"schedulingGates": [{"name": "g"}]})), Kinds::NONE);
        bench.say("gated");
        bench.queue.cure(&Event::node(Kinds::NODE_ADD, &node("n", "4")));
        bench.clock.advance(FLUSH_AFTER);
        bench.say("later");
        assert!(bench.queue.pop().is_none());
        bench.queue.update(pod("a", "1"), Kinds::POD_GATES);
        bench.say("free");
        bench.queue.remove("a");
        bench.say("gone");
        bench.check(expect![[r#"
            gated: active 0, backoff 0, unschedulable 0, all 1, next -
            later: active 0, backoff 0, unschedulable 0, all 1, next -
            free: active 1, backoff 0, unschedulable 0, all 1, next -
            gone: active 0, backoff 0, unschedulable 0, all 0, next -
        "#]]);
    }
}
