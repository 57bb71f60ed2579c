//! One container's image: present, pulled, or a reason to wait.

use std::collections::HashMap;
use std::time::Duration;

use client::{EventType, Key};
use cri::v1 as pb;
use k8s_openapi::api::core::v1::{Container, Pod};

use super::credentials;
use super::name::{Policy, policy, with_tag};
use crate::context::Context;
use crate::pod::backoff::Backoffs;
use crate::pod::container_status::Waiting;
use crate::pods;

/// The image, or why the container has to wait for it.
pub(crate) async fn ensure(
    context: &Context,
    pod: &Pod,
    container: &Container,
    sandbox: &pb::PodSandboxConfig,
    backoffs: &mut Backoffs,
) -> Result<pb::Image, Waiting> {
    let job = Job { context, pod, container, sandbox };
    job.run(backoffs).await
}

/// The images that `container` mounts as volumes, by the volume's name.
///
/// Upstream: pkg/kubelet/kubelet_pods.go and kuberuntime_manager.go, getImageVolumes.
pub(crate) async fn ensure_volumes(
    context: &Context,
    pod: &Pod,
    container: &Container,
    sandbox: &pb::PodSandboxConfig,
    backoffs: &mut Backoffs,
) -> Result<HashMap<String, pb::Image>, Waiting> {
    let mut images = HashMap::new();
    for volume in pods::spec(pod).volumes.iter().flatten() {
        let Some(source) = &volume.image else { continue };
        if !container.volume_mounts.iter().flatten().any(|mount| mount.name == volume.name) {
            continue;
        }
        // The same steps, events and reasons as for the container's own image.
        let mut wanted = container.clone();
        wanted.image.clone_from(&source.reference);
        wanted.image_pull_policy.clone_from(&source.pull_policy);
        let image = ensure(context, pod, &wanted, sandbox, backoffs).await?;
        images.insert(volume.name.clone(), image);
    }
    Ok(images)
}

struct Job<'a> {
    context: &'a Context,
    pod: &'a Pod,
    container: &'a Container,
    sandbox: &'a pb::PodSandboxConfig,
}

impl Job<'_> {
    async fn run(&self, backoffs: &mut Backoffs) -> Result<pb::Image, Waiting> {
        let asked = self.container.image.as_deref().unwrap_or_default();
        let name = with_tag(asked).map_err(|error| {
            let message = format!("Failed to apply default image tag {asked:?}: {error}");
            self.say(EventType::Warning, "InspectFailed", &message);
            waiting("InvalidImageName", message)
        })?;
        let policy = policy(self.container.image_pull_policy.as_deref(), &name);
        let present = self.context.cri.image(&name).await.map_err(|error| {
            let message = format!("Failed to inspect image {name:?}: {}", error.said());
            self.say(EventType::Warning, "InspectFailed", &message);
            waiting("ImageInspectError", message)
        })?;
        match (policy, present) {
            (Policy::Never, None) => {
                let message = format!("Container image {asked:?} is not present with pull policy of Never");
                self.say(EventType::Warning, "ErrImageNeverPull", &message);
                Err(waiting("ErrImageNeverPull", message))
            }
            (Policy::Never | Policy::IfNotPresent, Some(image)) => {
                self.say(
                    EventType::Normal,
                    "Pulled",
                    &format!(
                        "Container image {asked:?} already present on machine and can be accessed by the pod"
                    ),
                );
                Ok(image)
            }
            _ => self.pull(asked, &name, backoffs).await,
        }
    }

    async fn pull(&self, asked: &str, name: &str, backoffs: &mut Backoffs) -> Result<pb::Image, Waiting> {
        let clock = &self.context.config.clock;
        let key = format!("image {asked}");
        let last = backoffs.updated(&key).unwrap_or_else(|| clock.now());
        if backoffs.remaining(&key, last, clock.now()).is_some() {
            let message = format!("Back-off pulling image {asked:?}");
            self.say(EventType::Normal, "BackOff", &message);
            return Err(waiting("ImagePullBackOff", message));
        }
        self.say(EventType::Normal, "Pulling", &format!("Pulling image {asked:?}"));
        let began = clock.monotonic();
        let pulled = self.pull_and_look(name).await;
        let took = go_seconds(clock.monotonic() - began);
        match pulled {
            Ok(image) => {
                backoffs.forget(&key);
                self.context.node_changed.notify_one();
                self.say(
                    EventType::Normal,
                    "Pulled",
                    &format!(
                        "Successfully pulled image {asked:?} in {took} ({took} including waiting). Image size: {} bytes.",
                        image.size
                    ),
                );
                Ok(image)
            }
            Err(why) => {
                let now = clock.now();
                backoffs.next(&key, last, now);
                let message = format!("failed to pull and unpack image {asked:?}: {why}");
                self.say(EventType::Warning, "Failed", &format!("Failed to pull image {asked:?}: {message}"));
                Err(waiting("ErrImagePull", message))
            }
        }
    }

    async fn pull_and_look(&self, name: &str) -> Result<pb::Image, String> {
        let auth = self.credentials(name).await?;
        self.context.cri.pull(name, auth, self.sandbox.clone()).await.map_err(|error| error.said())?;
        let image = self.context.cri.image(name).await.map_err(|error| error.said())?;
        image.ok_or_else(|| format!("image {name:?} is gone after it was pulled"))
    }

    async fn credentials(&self, name: &str) -> Result<Option<pb::AuthConfig>, String> {
        let mut secrets = Vec::new();
        for reference in pods::spec(self.pod).image_pull_secrets.iter().flatten() {
            let key = Key::new(pods::namespace(self.pod), &reference.name);
            let user = pods::uid(self.pod).to_owned();
            let found = self.context.volumes.secrets.get(&user, &key).await;
            // A secret that is not there gives no credentials; the registry then says so.
            secrets.extend(found.map_err(|error| stdx::error_chain(&error))?);
        }
        Ok(credentials::find(name, secrets.iter().map(AsRef::as_ref)))
    }

    fn say(&self, kind: EventType, reason: &str, message: &str) {
        self.context.container_event(self.pod, &self.container.name, kind, reason, message);
    }
}

fn waiting(reason: &str, message: String) -> Waiting {
    Waiting { reason: reason.into(), message }
}

fn go_seconds(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        return format!("{}ms", duration.as_millis());
    }
    format!("{}s", (duration.as_secs_f64() * 1000.0).round() / 1000.0)
}
