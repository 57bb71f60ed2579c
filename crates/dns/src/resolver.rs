//! A query's way: cache, the cluster's zone, other servers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use client::{Object, Store};
use parking_lot::Mutex;
use stdx::{Clock, Shutdown, Tasks, error_chain};
use tokio::sync::watch;

use crate::cache::{Basis, CAPACITY, Cache};
use crate::forward::Forwarder;
use crate::metrics::Metrics;
use crate::settings::Shared;
use crate::view::View;
use crate::wire::name::LONGEST;
use crate::wire::packed::{Transport, bare};
use crate::wire::{Code, Packed, Query, Record, Reject, Reply, kind, records};
use crate::zone::{Answer, Zone};

/// Names in a row that stand for another name.
const ALIASES: usize = 8;
/// Seconds that a failure is kept, so that a dead resolver does not cost its time-out each time.
const FAILURE_SECONDS: u32 = 5;
const IN: u16 = 1;

type Key = Box<[u8]>;
type Flight = watch::Receiver<Option<Arc<Packed>>>;

/// What can be said about a message without waiting.
pub(crate) enum Now {
    Send(Vec<u8>),
    /// Other servers have to be asked.
    Later,
    Ignore,
}

pub(crate) struct Resolver {
    zone: Zone,
    forwarder: Forwarder,
    cache: Cache,
    settings: Shared,
    metrics: Arc<Metrics>,
    clock: Clock,
    /// Rises whenever the cluster changes.
    cluster: AtomicU64,
    /// What others are being asked right now. Who asks the same waits for the same answer: that also ends a
    /// question that comes back to us over another server.
    flights: Mutex<HashMap<Key, Flight>>,
}

impl Resolver {
    pub fn new(
        zone: Zone,
        forwarder: Forwarder,
        settings: Shared,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Self {
        Self {
            zone,
            forwarder,
            cache: Cache::new(CAPACITY),
            settings,
            metrics,
            clock,
            cluster: AtomicU64::new(0),
            flights: Mutex::default(),
        }
    }

    pub fn drop_answers_when_the_cluster_changes(
        self: &Arc<Self>,
        view: &View,
        tasks: &Tasks,
        shutdown: &Shutdown,
    ) {
        self.watch(&view.services, tasks, shutdown);
        self.watch(&view.slices, tasks, shutdown);
        self.watch(&view.namespaces, tasks, shutdown);
    }

    fn watch<K: Object>(self: &Arc<Self>, store: &Store<K>, tasks: &Tasks, shutdown: &Shutdown) {
        let (resolver, shutdown, mut changes) = (self.clone(), shutdown.clone(), store.subscribe());
        tasks.spawn("dns changes", async move {
            loop {
                tokio::select! {
                    () = shutdown.wait() => return,
                    change = changes.recv() => match change {
                        Some(_) => resolver.cluster.fetch_add(1, Ordering::Release),
                        None => return,
                    },
                };
            }
        });
    }

    /// Answers from what is known here.
    pub fn answer_now(&self, message: &[u8], transport: Transport) -> Now {
        let query = match Query::read(message) {
            Ok(query) => query,
            Err(Reject::Ignore) => return Now::Ignore,
            Err(Reject::Answer { id, code }) => return Now::Send(bare(id, code)),
        };
        self.metrics.asked(transport, query.kind);
        let Some((answer, age)) = self.known(&query) else { return Now::Later };
        Now::Send(self.send(&query, &answer, age, transport))
    }

    /// Answers what [`Resolver::answer_now`] could not.
    pub async fn answer(&self, message: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let query = Query::read(message).ok()?;
        let answer = match self.zone.answer(&query.name(), query.kind) {
            Answer::Alias { record, target } => self.follow(&query, record, target, transport).await,
            _ => self.elsewhere(&query, transport).await,
        };
        Some(self.send(&query, &answer, 0, transport))
    }

    /// What is sent when there are too many questions for others already.
    pub fn refuse(&self, message: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let query = Query::read(message).ok()?;
        Some(self.send(&query, &plain(Code::Refused).pack(&query), 0, transport))
    }

    fn send(&self, query: &Query<'_>, answer: &Packed, age: u32, transport: Transport) -> Vec<u8> {
        self.metrics.answered(answer.code());
        answer.render(query, age, transport)
    }

    fn known(&self, query: &Query<'_>) -> Option<(Arc<Packed>, u32)> {
        if query.class != IN {
            return Some((Arc::new(plain(Code::Refused).pack(query)), 0));
        }
        if query.edns.is_some_and(|edns| edns.version != 0) {
            // The rest of BADVERS is added where the OPT record is.
            return Some((Arc::new(plain(Code::NoError).pack(query)), 0));
        }
        let mut room = [0; LONGEST + 5];
        let key = query.key(&mut room);
        let cluster = self.cluster.load(Ordering::Acquire);
        if let Some(found) = self.cache.get(key, self.clock.monotonic(), cluster) {
            self.metrics.hit(&found.0);
            return Some(found);
        }
        self.metrics.missed();
        let answer = Arc::new(self.reply(query)?.pack(query));
        // Of several addresses each client is to see another one first.
        if answer.answers() <= 1 || query.kind == kind::SRV {
            self.keep(key, &answer, Basis::Cluster(cluster));
        }
        Some((answer, 0))
    }

    fn reply(&self, query: &Query<'_>) -> Option<Reply> {
        let denial = |code| Reply { authority: vec![self.zone.authority()], ..ours(code) };
        Some(match self.zone.answer(&query.name(), query.kind) {
            Answer::Records { answers, additional } => Reply { answers, additional, ..ours(Code::NoError) },
            Answer::Alias { record, .. } if query.kind == kind::CNAME => {
                Reply { answers: vec![record], ..ours(Code::NoError) }
            }
            Answer::NoData => denial(Code::NoError),
            Answer::NoSuchName => denial(Code::NoSuchName),
            Answer::Refused => plain(Code::Refused),
            Answer::Alias { .. } | Answer::NotOurs => return None,
        })
    }

    fn keep(&self, key: &[u8], answer: &Arc<Packed>, basis: Basis) {
        let longest = match basis {
            Basis::Cluster(_) => u32::MAX,
            Basis::Elsewhere => self.settings.load().cache_seconds,
        };
        let failed = answer.is(Code::ServerFailure).then_some(FAILURE_SECONDS);
        let seconds = failed.or_else(|| answer.holds()).unwrap_or(0).min(longest);
        if !answer.is_truncated() {
            self.cache.put(key, answer.clone(), basis, self.clock.monotonic(), seconds);
        }
    }

    /// From an alias to addresses, within the cluster and outside.
    async fn follow(
        &self,
        query: &Query<'_>,
        record: Record,
        mut target: String,
        transport: Transport,
    ) -> Arc<Packed> {
        let cluster = self.cluster.load(Ordering::Acquire);
        let mut reply = Reply { answers: vec![record], ..ours(Code::NoError) };
        loop {
            match self.zone.answer(&target, query.kind) {
                Answer::Alias { record, target: next }
                    if reply.answers.len() < ALIASES && !reply.answers.contains(&record) =>
                {
                    reply.answers.push(record);
                    target = next;
                    continue;
                }
                Answer::Alias { .. } => reply.code = Code::ServerFailure,
                Answer::Records { answers, .. } => reply.answers.extend(answers),
                Answer::NoData | Answer::Refused => {}
                Answer::NoSuchName => reply.code = Code::NoSuchName,
                Answer::NotOurs => self.append(&mut reply, &target, query.kind, transport).await,
            }
            break;
        }
        let answer = Arc::new(reply.pack(query));
        self.keep(query.key(&mut [0; LONGEST + 5]), &answer, Basis::Cluster(cluster));
        answer
    }

    async fn append(&self, reply: &mut Reply, target: &str, kind: u16, transport: Transport) {
        let message = Query::write(0, target, kind);
        let query = Query::read(&message).expect("the target was checked");
        let answer = self.elsewhere(&query, transport).await;
        reply.answers.extend(records::addresses(&answer));
        if answer.is(Code::NoSuchName) {
            reply.code = Code::NoSuchName;
        } else if !answer.is(Code::NoError) {
            reply.code = Code::ServerFailure;
        }
    }

    /// Asks other servers, once for all who ask the same at the same time.
    async fn elsewhere(&self, query: &Query<'_>, transport: Transport) -> Arc<Packed> {
        let mut room = [0; LONGEST + 5];
        let key = query.key(&mut room);
        if let Some((answer, _)) = self.cache.get(key, self.clock.monotonic(), 0) {
            return answer;
        }
        // A datagram's answer may be cut short where a stream's is not.
        let flight: Key = [key, &[u8::from(transport == Transport::Tcp)]].concat().into();
        let joined = self.join(&flight);
        let sender = match joined {
            Join::First(sender) => sender,
            Join::Other(mut answer) => {
                let found = answer.wait_for(Option::is_some).await;
                let found = found.ok().and_then(|found| found.clone());
                return found.unwrap_or_else(|| Arc::new(plain(Code::ServerFailure).pack(query)));
            }
        };
        let _landing = Landing { flights: &self.flights, flight: &flight };
        let answer = Arc::new(self.ask(query, transport).await);
        self.keep(key, &answer, Basis::Elsewhere);
        sender.send_replace(Some(answer.clone()));
        answer
    }

    fn join(&self, flight: &[u8]) -> Join {
        let mut flights = self.flights.lock();
        if let Some(answer) = flights.get(flight) {
            return Join::Other(answer.clone());
        }
        let (sender, answer) = watch::channel(None);
        flights.insert(flight.into(), answer);
        Join::First(sender)
    }

    async fn ask(&self, query: &Query<'_>, transport: Transport) -> Packed {
        let began = self.clock.monotonic();
        let asked = self.forwarder.ask(query, transport).await;
        self.metrics.forwarded(self.clock.monotonic().saturating_sub(began));
        asked.unwrap_or_else(|error| {
            tracing::debug!(name = query.name(), error = error_chain(&error), "no server answers");
            plain(Code::ServerFailure).pack(query)
        })
    }
}

enum Join {
    First(watch::Sender<Option<Arc<Packed>>>),
    Other(Flight),
}

/// Ends a flight, also when its task is dropped.
struct Landing<'a> {
    flights: &'a Mutex<HashMap<Key, Flight>>,
    flight: &'a [u8],
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.flights.lock().remove(self.flight);
    }
}

fn plain(code: Code) -> Reply {
    Reply { code, authoritative: false, answers: Vec::new(), authority: Vec::new(), additional: Vec::new() }
}

fn ours(code: Code) -> Reply {
    Reply { authoritative: true, ..plain(code) }
}
