//! What every write does, whatever the verb: admission, the server's own fields, validation, compare-and-swap.

use api::FieldErrors;
use serde_json::Value;

use super::apply::{Apply, Configuration};
use super::ownership::{self, Ownership};
use super::{Call, WriteOptions};
use crate::admission::{Operation, Request, Rounds};
use crate::auth::{self, Attributes};
use crate::error::{ApiError, Result};
use crate::object;
use crate::registry::before::{self, Part};
use crate::registry::{Current, Storage, Swap, deletion};

/// Generated names that are taken are replaced so often.
const NAME_ATTEMPTS: usize = 8;

/// A new state, computed from the old: a PUT, a patch, a scale.
pub trait Change: Send + Sync {
    /// The wanted state of the stored version, defaulted.
    ///
    /// # Errors
    /// When it does not fit the old state.
    fn apply(&self, old: &Value) -> Result<Value>;

    /// Whether what it changes is recorded in managedFields after it; else it has done so itself.
    fn is_tracked(&self) -> bool {
        true
    }

    /// What to create when there is nothing yet; none if that is a 404.
    fn create(&self) -> Option<Result<Value>> {
        None
    }
}

/// How a write ended.
pub struct Outcome {
    /// The new (or last) state, of the stored version.
    pub object: Value,
    pub created: bool,
}

/// A write on its way.
pub struct Write<'a> {
    pub call: &'a Call,
    pub storage: &'a Storage,
    pub options: &'a WriteOptions,
    pub subresource: &'a str,
    pub ownership: Ownership<'a>,
}

impl<'a> Write<'a> {
    pub fn new(call: &'a Call, options: &'a WriteOptions) -> Result<Self> {
        let ownership = Ownership::new(call, options);
        Ok(Self { call, storage: call.storage()?, options, subresource: &call.info.subresource, ownership })
    }

    /// Server-side apply of `configuration` as a change.
    pub fn applying<'b>(&'b self, configuration: &'b Configuration) -> Apply<'b> {
        Apply {
            call: self.call,
            configuration,
            ownership: &self.ownership,
            force: self.options.force == Some(true),
        }
    }

    /// As admission plugins see it.
    pub fn admission(&self, operation: Operation, object: Option<Value>, old: Option<Value>) -> Request {
        let call = self.call;
        let kind = match operation {
            Operation::Create => "CreateOptions",
            Operation::Update => "UpdateOptions",
            Operation::Delete => "DeleteOptions",
            Operation::Connect => "",
        };
        let named = |value: &Option<Value>| value.as_ref().map(|v| object::name(v).to_string());
        let name = match call.name() {
            "" => named(&object).or_else(|| named(&old)).unwrap_or_default(), // created without a name
            name => name.to_string(),
        };
        let is_namespace = self.storage.is("", "namespaces");
        Request {
            operation,
            resource: call.resource(),
            version: call.served.version.clone(),
            kind: self.storage.kind.clone(),
            subresource: self.subresource.to_string(),
            namespace: if is_namespace { name.clone() } else { call.namespace().to_string() },
            name,
            object,
            old,
            options: self.options.value(kind),
            user: call.user.clone(),
            dry_run: self.options.dry_run,
            warnings: call.warnings.clone(),
            rounds: Rounds::default(),
        }
    }

    /// Creates `object` (of the stored version, defaulted).
    ///
    /// # Errors
    /// Those of admission and validation, and of a name that is taken.
    pub async fn create(&self, object: Value) -> Result<Value> {
        if !object::meta(&object, "resourceVersion").is_empty() {
            // Upstream's store says so, in an error without a reason.
            return Err(ApiError::new(500, "", "resourceVersion should not be set on objects to be created"));
        }
        let chain = &self.call.core.admission;
        let mut request = self.admission(Operation::Create, Some(object), None);
        chain.admit(&mut request).await?;
        let mut object = request.object.take().unwrap_or_default(); // a plugin never takes it away
        let storage = self.storage;
        storage.codec.default(&mut object);
        let generates = object::name(&object).is_empty();
        for attempt in 1.. {
            let mut candidate = object.clone();
            before::generate_name(&mut candidate, &self.call.core.random);
            before::create(storage, &mut candidate, self.call.writer(), &self.call.core.random);
            let claim = self.call.core.addresses.claim_new(storage, &mut candidate, self.options.dry_run)?;
            let mut errors = storage.codec.validate_create(&candidate);
            storage.strategy.validate_create(&candidate, &mut errors);
            self.check(&candidate, errors)?;
            request.object = Some(candidate.clone());
            if request.name.is_empty() {
                request.name = object::name(&candidate).to_string();
            }
            chain.validate(&request).await?;
            if let Some(stored) = self.insert(&candidate).await? {
                claim.keep();
                return Ok(stored);
            }
            let name = object::name(&candidate);
            if !generates {
                return Err(ApiError::already_exists(&self.call.resource(), name));
            }
            if attempt >= NAME_ATTEMPTS {
                return Err(ApiError::generate_name_conflict(&self.call.resource(), name));
            }
        }
        unreachable!("the loop above ends by returning")
    }

    async fn insert(&self, object: &Value) -> Result<Option<Value>> {
        if !self.options.dry_run {
            return self.storage.insert(object).await;
        }
        let taken = self.storage.read(object::namespace(object), object::name(object)).await?.is_some();
        Ok((!taken).then(|| object.clone()))
    }

    /// Updates the object that the path names, again if somebody else was faster.
    pub async fn update(&self, part: Part<'_>, change: &dyn Change) -> Result<Outcome> {
        let (namespace, name) = (self.call.namespace(), self.call.name());
        let mut current = self.storage.read(namespace, name).await?;
        loop {
            let Some(old) = current else {
                let Some(object) = change.create() else {
                    return Err(ApiError::not_found(&self.call.resource(), name));
                };
                let mut object = object?;
                self.check_may_create().await?;
                if change.is_tracked() {
                    self.ownership.track(None, &mut object);
                }
                let object = self.create(object).await?;
                return Ok(Outcome { object, created: true });
            };
            match self.attempt(part, change, &old).await? {
                Swap::Done(object) => return Ok(Outcome { object, created: false }),
                Swap::Stale(newer) => current = newer,
            }
        }
    }

    async fn attempt(&self, part: Part<'_>, change: &dyn Change, current: &Current) -> Result<Swap> {
        let (storage, old) = (self.storage, &current.value);
        let mut wanted = change.apply(old)?;
        self.check_identity(&wanted, old)?;
        if change.is_tracked() {
            self.ownership.track(Some(old), &mut wanted);
        }
        let entries = wanted["metadata"].get("managedFields").cloned();
        let mut request = self.admission(Operation::Update, Some(wanted), Some(old.clone()));
        self.call.core.admission.admit(&mut request).await?;
        let mut object = request.object.take().unwrap_or_default(); // a plugin never takes it away
        storage.codec.default(&mut object);
        if !before::update(storage, part, &mut object, old) {
            return Err(ApiError::no_such_path());
        }
        object::set_meta(&mut object, "managedFields", entries);
        ownership::keep_times(&mut object, old, |same| storage.is_stored_as(current, same));
        let dry_run = self.options.dry_run;
        let claim = self.call.core.addresses.claim_changed(storage, &mut object, old, dry_run)?;
        let mut errors = storage.codec.validate_update(&object, old, self.subresource);
        storage.strategy.validate_update(&object, old, &mut errors);
        self.check(&object, errors)?;
        request.object = Some(object.clone());
        self.call.core.admission.validate(&request).await?;
        if dry_run {
            return Ok(Swap::Done(object));
        }
        let finished = deletion::is_finished(storage, &object, old);
        if !finished {
            let swap = storage.replace(current, &object).await?;
            if matches!(swap, Swap::Done(_)) {
                claim.keep();
            }
            return Ok(swap);
        }
        Ok(match storage.remove(current).await? {
            Swap::Done(last) => {
                claim.keep();
                self.call.core.addresses.release(storage, &object);
                // What the client made of it, under the deletion's revision.
                object::carry_over(&mut object["metadata"], &last["metadata"], &["resourceVersion"]);
                Swap::Done(object)
            }
            stale => stale,
        })
    }

    /// Whoever may patch or put may not create by it, unless they may create.
    async fn check_may_create(&self) -> Result<()> {
        let info = &self.call.info;
        let attributes = Attributes {
            verb: "create".into(),
            name: String::new(),
            ..Attributes::of(&self.call.user, info)
        };
        auth::stages::check(self.call.core.authorizer.as_ref(), &attributes).await
    }

    /// The optimistic lock and the uid, where the client gave them.
    fn check_identity(&self, wanted: &Value, old: &Value) -> Result<()> {
        let (resource, name) = (self.call.resource(), object::name(old));
        let (uid, old_uid) = (object::meta(wanted, "uid"), object::meta(old, "uid"));
        if !uid.is_empty() && uid != old_uid {
            let why =
                format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {old_uid}");
            return Err(ApiError::conflict(&resource, name, &why));
        }
        let version = object::meta(wanted, "resourceVersion");
        if version.is_empty() {
            if self.storage.traits.unconditional_update {
                return Ok(());
            }
            let problem = (
                "FieldValueInvalid".into(),
                "Invalid value: 0: must be specified for an update".into(),
                "metadata.resourceVersion".into(),
            );
            return Err(ApiError::invalid(
                &self.storage.resource.group,
                &self.storage.kind,
                name,
                &[problem],
            ));
        }
        if version != object::meta(old, "resourceVersion") {
            return Err(ApiError::modified(&resource, name));
        }
        Ok(())
    }

    fn check(&self, object: &Value, errors: FieldErrors) -> Result<()> {
        if errors.is_empty() {
            return Ok(());
        }
        Err(invalid(self.storage, object, &errors))
    }
}

/// 422 with every problem.
pub fn invalid(storage: &Storage, object: &Value, errors: &FieldErrors) -> ApiError {
    ApiError::invalid_fields(&storage.resource.group, &storage.kind, object::name(object), errors)
}
