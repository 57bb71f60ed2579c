//! Reads a CronJob and its jobs, makes the job that is due, removes those that are too many.

use std::sync::Arc;

use async_trait::async_trait;
use client::{BoxError, Change, Controller, EventType, Key, Next, Reconcile, Store, reference};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus, Job};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use kube::core::ObjectMeta;

use super::due::{due, is_too_late, until_next};
use super::history;
use super::schedule::{Schedule, split_zone};
use crate::context::Context;
use crate::freshness::Written;
use crate::owners;
use crate::pod_control::told;

const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

struct Reconciler {
    context: Context,
    crons: Store<CronJob>,
    jobs: Store<Job>,
    written: Written,
}

pub(crate) async fn start(context: Context) {
    let (crons, jobs) = (context.hub.store::<CronJob>(), context.hub.store::<Job>());
    if !(crons.synced().await && jobs.synced().await) {
        return;
    }
    Controller::new("cronjob", &context.hub)
        .reconciles(&crons)
        .watches(&jobs, |change| {
            let was = match change {
                Change::Applied { old: Some(old), .. } => cron_of(old),
                _ => None,
            };
            was.into_iter().chain(cron_of(change.object())).collect()
        })
        .run(Arc::new(Reconciler { context, crons, jobs, written: Written::default() }));
}

fn cron_of(job: &Job) -> Option<Key> {
    let owner = owners::controller_of(job).filter(|owner| owner.kind == "CronJob")?;
    Some(Key::new(job.metadata.namespace.clone().unwrap_or_default(), owner.name.clone()))
}

/// One reconciliation: the cron job and the status that it will have.
struct Work<'a> {
    key: &'a Key,
    cron: Arc<CronJob>,
    status: CronJobStatus,
}

#[async_trait]
impl Reconcile for Reconciler {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let Some(cron) = self.crons.get(key) else {
            self.written.forget(key);
            return Ok(Next::AwaitChange);
        };
        if self.written.is_stale(key, &*cron) {
            return Ok(Next::AwaitChange);
        }
        let uid = cron.metadata.uid.as_deref().unwrap_or_default();
        let own = |job: &Arc<Job>| owners::controller_of(&**job).is_some_and(|owner| owner.uid == uid);
        let jobs: Vec<_> = self.jobs.owned_by(uid).into_iter().filter(own).collect();
        let mut work = Work { key, status: cron.status.clone().unwrap_or_default(), cron };
        for (kind, reason, message) in history::review(&mut work.status, &jobs) {
            self.say(&work, kind, reason, message);
        }
        let next = self.schedule(&mut work).await;
        for job in history::surplus(&work.cron, &jobs) {
            self.delete(&mut work, &job).await?;
        }
        self.write(&work).await?;
        next
    }
}

impl Reconciler {
    fn say(&self, work: &Work<'_>, kind: EventType, reason: &str, message: String) {
        self.context.recorder.event(&reference(&*work.cron), kind, reason, message);
    }

    fn jobs_api(&self, key: &Key) -> Api<Job> {
        Api::namespaced(self.context.client.clone(), &key.namespace)
    }

    async fn schedule(&self, work: &mut Work<'_>) -> Result<Next, BoxError> {
        let spec = work.cron.spec.clone();
        if work.cron.metadata.deletion_timestamp.is_some() || spec.suspend == Some(true) {
            return Ok(Next::AwaitChange);
        }
        let Some((schedule, zone)) = self.read(work, &spec.schedule, spec.time_zone.as_deref()) else {
            return Ok(Next::AwaitChange);
        };
        let now = self.context.clock.now();
        let due = due(&work.cron, &schedule, &zone, now);
        if due.missed_many {
            let message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
            self.say(work, EventType::Warning, "TooManyMissedTimes", message.to_owned());
        }
        if let Some(moment) = due.moment {
            self.meet(work, moment, now, &zone).await?;
        }
        let next = until_next(&work.cron, &schedule, &zone, due.moment, now);
        Ok(next.map_or(Next::AwaitChange, Next::After))
    }

    /// The schedule and its zone; what cannot be read is told, and waits for a change.
    fn read(&self, work: &Work<'_>, text: &str, zone: Option<&str>) -> Option<(Schedule, TimeZone)> {
        let (own_zone, expression) = split_zone(text);
        if own_zone.is_some() {
            let message = format!(
                "CRON_TZ or TZ used in schedule {text:?} is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
            );
            self.say(work, EventType::Warning, "UnsupportedSchedule", message);
        }
        let zone = match zone.or(own_zone) {
            None => TimeZone::UTC,
            Some(name) => match TimeZone::get(name) {
                Ok(zone) => zone,
                Err(error) => {
                    let message = format!("invalid timeZone: {name:?}: {error}");
                    self.say(work, EventType::Warning, "UnknownTimeZone", message);
                    return None;
                }
            },
        };
        match Schedule::parse(expression) {
            Ok(schedule) => Some((schedule, zone)),
            Err(error) => {
                let message = format!("unparseable schedule: {text:?} : {error}");
                self.say(work, EventType::Warning, "UnparseableSchedule", message);
                None
            }
        }
    }

    async fn meet(
        &self,
        work: &mut Work<'_>,
        moment: Timestamp,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Result<(), BoxError> {
        if is_too_late(&work.cron, moment, now) {
            let at = moment.strftime("%a, %d %b %Y %H:%M:%S +0000");
            self.say(
                work,
                EventType::Warning,
                "MissSchedule",
                format!("Missed scheduled time to start a job: {at}"),
            );
            return Ok(());
        }
        let name = format!("{}-{}", work.key.name, moment.as_second() / 60);
        let is_made = work.status.active.iter().flatten().any(|active| active.name.as_ref() == Some(&name));
        if is_made || work.status.last_schedule_time.as_ref().map(|time| time.0) == Some(moment) {
            return Ok(());
        }
        let policy = work.cron.spec.concurrency_policy.clone();
        let active = work.status.active.clone().unwrap_or_default();
        match policy.as_deref() {
            Some("Forbid") if !active.is_empty() => {
                let message =
                    "Not starting job because prior execution is running and concurrency policy is Forbid";
                self.say(work, EventType::Normal, "JobAlreadyActive", message.to_owned());
                return Ok(());
            }
            Some("Replace") => {
                self.replace(work, active.into_iter().filter_map(|active| active.name)).await?
            }
            _ => {}
        }
        self.create(work, name, moment, zone).await
    }

    async fn replace(&self, work: &mut Work<'_>, names: impl Iterator<Item = String>) -> kube::Result<()> {
        for name in names {
            if let Some(job) = self.jobs.get(&Key::new(work.key.namespace.clone(), name)) {
                self.delete(work, &job).await?;
            }
        }
        Ok(())
    }

    async fn create(
        &self,
        work: &mut Work<'_>,
        name: String,
        moment: Timestamp,
        zone: &TimeZone,
    ) -> Result<(), BoxError> {
        let api = self.jobs_api(work.key);
        let job = match api.create(&PostParams::default(), &new_job(&work.cron, &name, moment, zone)).await {
            Ok(job) => {
                self.say(work, EventType::Normal, "SuccessfulCreate", format!("Created job {name}"));
                job
            }
            Err(error) if client::is_already_exists(&error) => {
                // Ours from before a crash is as good as made now.
                let known = api.get(&name).await?;
                if owners::controller_of(&known).map(|owner| &owner.uid) != work.cron.metadata.uid.as_ref() {
                    return self.refused(work, error);
                }
                known
            }
            Err(error) => return self.refused(work, error),
        };
        history::note(&mut work.status, &job);
        work.status.last_schedule_time = Some(Time(moment));
        Ok(())
    }

    fn refused(&self, work: &Work<'_>, error: kube::Error) -> Result<(), BoxError> {
        if client::is_namespace_terminating(&error) {
            return Ok(());
        }
        self.say(work, EventType::Warning, "FailedCreate", format!("Error creating job: {}", told(&error)));
        Err(error.into())
    }

    async fn delete(&self, work: &mut Work<'_>, job: &Job) -> kube::Result<()> {
        let name = job.metadata.name.as_deref().unwrap_or_default();
        match self.jobs_api(work.key).delete(name, &DeleteParams::background()).await {
            Err(error) if !client::is_not_found(&error) => {
                self.say(work, EventType::Warning, "FailedDelete", format!("Deleted job: {}", told(&error)));
                return Err(error);
            }
            _ => {}
        }
        history::forget(&mut work.status, job.metadata.uid.as_deref());
        self.say(work, EventType::Normal, "SuccessfulDelete", format!("Deleted job {name}"));
        Ok(())
    }

    async fn write(&self, work: &Work<'_>) -> kube::Result<()> {
        if work.status == work.cron.status.clone().unwrap_or_default() {
            return Ok(());
        }
        let changed = CronJob { status: Some(work.status.clone()), ..(*work.cron).clone() };
        let api: Api<CronJob> = Api::namespaced(self.context.client.clone(), &work.key.namespace);
        self.written.replace_status(work.key, &api, &changed).await.map(drop)
    }
}

/// The job of one moment. Its name tells the minute, so that it is made once.
fn new_job(cron: &CronJob, name: &str, moment: Timestamp, zone: &TimeZone) -> Job {
    let template = cron.spec.job_template.clone();
    let from = template.metadata.unwrap_or_default();
    let mut annotations = from.annotations.unwrap_or_default();
    let at = moment.to_zoned(zone.clone());
    let offset = if at.offset().is_zero() { "Z".to_owned() } else { at.strftime("%:z").to_string() };
    annotations.insert(SCHEDULED.to_owned(), format!("{}{offset}", at.strftime("%Y-%m-%dT%H:%M:%S")));
    Job {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: cron.metadata.namespace.clone(),
            labels: from.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![owners::controller_ref(cron)]),
            creation_timestamp: Some(Time(moment)),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}
