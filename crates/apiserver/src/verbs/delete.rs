//! DELETE of one object, and of a collection.

use futures::stream::{self, StreamExt, TryStreamExt};
use http::StatusCode;
use serde_json::{Value, json};

use super::call::respond;
use super::list_options::ListOptions;
use super::ownership::Ownership;
use super::write::Write;
use super::{Call, WriteOptions, body, list};
use crate::admission::Operation;
use crate::error::{ApiError, Result};
use crate::registry::deletion::{self, DeleteOptions, Plan};
use crate::registry::{Current, Storage, Swap};
use crate::{Body, Response, object};

/// Objects of a collection that are deleted at a time.
const WORKERS: usize = 16;

/// Resources whose DELETE answers the object even when it is gone.
const ANSWER_OBJECT: [&str; 7] = [
    "pods",
    "services",
    "persistentvolumes",
    "persistentvolumeclaims",
    "podtemplates",
    "serviceaccounts",
    "resourcequotas",
];

pub async fn serve(call: &Call, request_body: Body) -> Result<Response> {
    let raw = body::delete_options(call, request_body).await?;
    let options = DeleteOptions::of(&raw)?;
    let deleted = Deletion { call, storage: call.storage()?, options: &options, raw: &raw }
        .run(call.namespace(), call.name())
        .await?;
    match deleted {
        Deleted::Terminating(object) => call.answer(StatusCode::OK, &object, &[]),
        Deleted::Gone(object) if answers_object(call.storage()?) => call.answer(StatusCode::OK, &object, &[]),
        Deleted::Gone(object) => call.answer_plain(StatusCode::OK, &gone(call, &object), &[]),
    }
}

fn answers_object(storage: &Storage) -> bool {
    storage.resource.group.is_empty() && ANSWER_OBJECT.contains(&storage.resource.resource.as_str())
}

fn gone(call: &Call, object: &Value) -> Value {
    let mut details = json!({
        "name": object::name(object),
        "kind": call.served.resource,
        "uid": object::meta(object, "uid"),
    });
    if !call.served.group.is_empty() {
        details["group"] = json!(call.served.group);
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

pub async fn serve_collection(call: &Call, request_body: Body) -> Result<Response> {
    let raw = body::delete_options(call, request_body).await?;
    let options = DeleteOptions::of(&raw)?;
    let storage = call.storage()?;
    let listing = ListOptions::parse(&call.query)?;
    let page = list::page(call, storage, &listing).await?;
    let deletion = Deletion { call, storage, options: &options, raw: &raw };
    let names: Vec<(String, String)> = page
        .entries
        .iter()
        .map(|entry| (entry.index.namespace.to_string(), entry.index.name.to_string()))
        .collect();
    stream::iter(names)
        .map(|(namespace, name)| async move {
            match deletion.run(&namespace, &name).await {
                // Gone between the list and now: what was wanted.
                Err(error) if error.code() == 404 => Ok(()),
                other => other.map(drop),
            }
        })
        .buffer_unordered(WORKERS)
        .try_collect::<Vec<()>>()
        .await?;
    let entries = call.served.seen(page.entries).await?;
    Ok(respond(StatusCode::OK, call.view()?.list(&entries, &page.meta)?, &[]))
}

/// What became of an object.
pub enum Deleted {
    /// Others will finish it.
    Terminating(Value),
    Gone(Value),
}

/// One DELETE, for as many objects as it is about.
#[derive(Clone, Copy)]
pub struct Deletion<'a> {
    pub call: &'a Call,
    pub storage: &'a Storage,
    pub options: &'a DeleteOptions,
    pub raw: &'a Value,
}

impl Deletion<'_> {
    pub async fn run(&self, namespace: &str, name: &str) -> Result<Deleted> {
        let mut current = self.storage.read(namespace, name).await?;
        loop {
            let Some(found) = current else {
                return Err(ApiError::not_found(&self.call.resource(), name));
            };
            match self.attempt(&found, name).await? {
                Ok(deleted) => return Ok(deleted),
                Err(newer) => current = newer,
            }
        }
    }

    /// The inner error is the newer state.
    async fn attempt(&self, current: &Current, name: &str) -> Result<Result<Deleted, Option<Current>>> {
        let (storage, now) = (self.storage, self.call.core.clock.now());
        let mut doomed = current.value.clone();
        storage.strategy.prepare_delete(&mut doomed, now);
        let plan = deletion::plan(storage, &doomed, self.options, now)?;
        self.admit(current, name).await?;
        if self.options.dry_run {
            return Ok(Ok(match plan {
                Plan::Wait => Deleted::Terminating(current.value.clone()),
                Plan::Mark(object) => Deleted::Terminating(object),
                Plan::Remove => Deleted::Gone(current.value.clone()),
            }));
        }
        Ok(match plan {
            Plan::Wait => Ok(Deleted::Terminating(current.value.clone())),
            Plan::Mark(object) => match storage.replace(current, &object).await? {
                Swap::Done(object) => Ok(Deleted::Terminating(object)),
                Swap::Stale(newer) => Err(newer),
            },
            Plan::Remove => match storage.remove(current).await? {
                Swap::Done(object) => {
                    self.call.core.addresses.release(storage, &object);
                    Ok(Deleted::Gone(object))
                }
                Swap::Stale(newer) => Err(newer),
            },
        })
    }

    async fn admit(&self, current: &Current, name: &str) -> Result<()> {
        let options = WriteOptions::dry(self.options.dry_run);
        let ownership = Ownership::new(self.call, &options);
        let write =
            Write { call: self.call, storage: self.storage, options: &options, subresource: "", ownership };
        let mut request = write.admission(Operation::Delete, None, Some(current.value.clone()));
        request.name = name.to_string();
        request.options = self.raw.clone();
        self.call.core.admission.admit(&mut request).await?;
        self.call.core.admission.validate(&request).await
    }
}
