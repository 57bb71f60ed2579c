//! Tells people what happened to an object, as Event objects; the same thing again raises a count.
//!
//! Upstream: client-go/tools/record. Differs: one task writes, so that counts never race.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::ObjectMeta;
use kube::{Api, Client, Resource};
use serde_json::json;
use stdx::{Clock, Tasks, error_chain};
use tokio::sync::mpsc;

use crate::is_not_found;

/// Events that wait to be written; beyond this many the newest is dropped rather than slow its sender.
const WAITING: usize = 1000;
/// Distinct events whose count is remembered (upstream: 4096).
const REMEMBERED: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    Normal,
    Warning,
}

impl EventType {
    fn name(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// Sends events; cheap to clone, never blocks.
#[derive(Clone)]
pub struct Recorder(mpsc::Sender<Said>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Said {
    about: Subject,
    kind: EventType,
    reason: String,
    message: String,
}

/// The parts of an object reference that tell objects apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Subject {
    api_version: Option<String>,
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    uid: Option<String>,
    field_path: Option<String>,
    resource_version: Option<String>,
}

impl Recorder {
    /// `component` is who speaks (`kubelet`), `host` on which node, empty where that does not matter.
    pub fn new(client: Client, component: &str, host: &str, clock: Clock, tasks: &Tasks) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let writer = Writer {
            client,
            component: component.to_owned(),
            host: host.to_owned(),
            clock,
            known: HashMap::new(),
        };
        tasks.spawn("events", writer.run(receiver));
        Self(sender)
    }

    /// Says that `reason` happened to `about`.
    pub fn event(
        &self,
        about: &ObjectReference,
        kind: EventType,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) {
        let said = Said { about: Subject::of(about), kind, reason: reason.into(), message: message.into() };
        if let Err(error) = self.0.try_send(said) {
            tracing::debug!(%error, "event dropped");
        }
    }
}

/// The reference of a typed object.
pub fn reference<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    object.object_ref(&())
}

impl Subject {
    fn of(reference: &ObjectReference) -> Self {
        let reference = reference.clone();
        Self {
            api_version: reference.api_version,
            kind: reference.kind,
            namespace: reference.namespace,
            name: reference.name,
            uid: reference.uid,
            field_path: reference.field_path,
            resource_version: None,
        }
    }

    fn reference(&self) -> ObjectReference {
        let subject = self.clone();
        ObjectReference {
            api_version: subject.api_version,
            kind: subject.kind,
            namespace: subject.namespace,
            name: subject.name,
            uid: subject.uid,
            field_path: subject.field_path,
            resource_version: subject.resource_version,
        }
    }
}

struct Writer {
    client: Client,
    component: String,
    host: String,
    clock: Clock,
    known: HashMap<Said, Known>,
}

/// An event that stands in the cluster.
struct Known {
    name: String,
    count: i32,
}

impl Writer {
    async fn run(mut self, mut said: mpsc::Receiver<Said>) {
        // Ends when the last recorder is dropped: what was said before that is still written.
        while let Some(said) = said.recv().await {
            if let Err(error) = self.write(&said).await {
                tracing::debug!(reason = said.reason, error = error_chain(&error), "event not written");
            }
        }
    }

    async fn write(&mut self, said: &Said) -> kube::Result<()> {
        let namespace = said.about.namespace.clone().filter(|n| !n.is_empty()).unwrap_or("default".into());
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        if let Some(known) = self.known.get_mut(said) {
            match count_again(&api, known, &self.clock).await {
                Err(error) if is_not_found(&error) => self.known.remove(said),
                other => return other,
            };
        }
        let event = self.new_event(said, namespace);
        let name = event.metadata.name.clone().unwrap_or_default();
        api.create(&PostParams::default(), &event).await?;
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(said.clone(), Known { name, count: 1 });
        Ok(())
    }

    fn new_event(&self, said: &Said, namespace: String) -> Event {
        let now = self.clock.now();
        let subject = said.about.name.as_deref().unwrap_or("unknown");
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{subject}.{:x}", now.as_nanosecond())),
                namespace: Some(namespace),
                ..ObjectMeta::default()
            },
            involved_object: said.about.reference(),
            type_: Some(said.kind.name().into()),
            reason: Some(said.reason.clone()),
            message: Some(said.message.clone()),
            count: Some(1),
            first_timestamp: Some(Time(now)),
            last_timestamp: Some(Time(now)),
            source: Some(EventSource {
                component: Some(self.component.clone()),
                host: Some(self.host.clone()).filter(|host| !host.is_empty()),
            }),
            reporting_component: Some(self.component.clone()),
            reporting_instance: Some(self.host.clone()),
            ..Event::default()
        }
    }
}

async fn count_again(api: &Api<Event>, known: &mut Known, clock: &Clock) -> kube::Result<()> {
    let patch = json!({"count": known.count + 1, "lastTimestamp": Time(clock.now())});
    api.patch(&known.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    known.count += 1;
    Ok(())
}
