//! WATCH: what is there, if asked for, and then every change, as a stream that lasts.
//!
//! A watcher keeps a position in the resource's history and nothing else; frames are encoded once and shared.
//!
//! Upstream: apiserver/pkg/endpoints/handlers/watch.go, apiserver/pkg/storage/cacher.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, stream};
use http::{HeaderValue, header};
use stdx::{Clock, Shutdown};

use super::Call;
use super::get::wait_for;
use super::list_options::ListOptions;
use crate::cache::{Change, Entry, EventType, Lost, Selection, Snapshot, Watcher};
use crate::encode::View;
use crate::error::{ApiError, Result};
use crate::{BoxError, Response, body};

/// A watch ends after this, or up to twice this, so that clients spread over the servers.
const SHORTEST: u64 = 1800;
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);

pub async fn serve(call: &Call) -> Result<Response> {
    let mut options = ListOptions::parse(&call.query)?;
    options.watch = true;
    options.check()?;
    let selection = Selection::parse(call, &options)?;
    let view = call.view()?;
    let media_type = view.stream_media_type();
    let stream = match begin(call, &options, selection).await? {
        Start::Watching(begun) => {
            let (snapshot, watcher) = *begun;
            let watching = Watching::new(call, &options, view, snapshot, watcher).await?;
            body::stream(watching.into_stream())
        }
        Start::TooOld(error) => {
            let frame = view.error_frame(&error);
            body::stream(stream::iter([Ok::<_, BoxError>(frame)]))
        }
    };
    let mut response = Response::new(stream);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    Ok(response)
}

enum Start {
    Watching(Box<(Option<Snapshot>, Watcher)>),
    /// Told inside a stream that began well, as clients expect it.
    TooOld(ApiError),
}

async fn begin(call: &Call, options: &ListOptions, selection: Selection) -> Result<Start> {
    let storage = call.storage()?;
    let revision = options.revision()?;
    match (options.send_initial_events, revision) {
        (None | Some(false), Some(revision)) if revision > 0 => {
            return Ok(match storage.cache.watch_after(revision, selection) {
                Ok(watcher) => Start::Watching(Box::new((None, watcher))),
                Err(floor) => Start::TooOld(ApiError::expired(format!(
                    "too old resource version: {revision} ({floor})"
                ))),
            });
        }
        (Some(true), Some(revision)) if revision > 0 => wait_for(call, storage, revision).await?,
        (_, None) => storage.catch_up().await?,
        _ => {}
    }
    let (snapshot, watcher) = storage.cache.list_and_watch(selection);
    let wanted = options.send_initial_events != Some(false);
    Ok(Start::Watching(Box::new((wanted.then_some(snapshot), watcher))))
}

/// One running watch.
struct Watching {
    watcher: Watcher,
    view: View,
    bookmarks: bool,
    /// Frames that wait to be sent.
    pending: BytesMut,
    /// The newest revision that the client knows of.
    told: u64,
    ends_at: Duration,
    bookmark_at: Duration,
    clock: Clock,
    shutdown: Shutdown,
    failed: bool,
    over: bool,
}

impl Watching {
    async fn new(
        call: &Call,
        options: &ListOptions,
        view: View,
        snapshot: Option<Snapshot>,
        watcher: Watcher,
    ) -> Result<Self> {
        let clock = call.core.clock.clone();
        let now = clock.monotonic();
        let seconds = match options.timeout_seconds {
            Some(seconds) if seconds > 0 => seconds,
            _ => SHORTEST + call.core.random.below(SHORTEST),
        };
        let mut watching = Self {
            watcher,
            view,
            bookmarks: options.allow_watch_bookmarks,
            pending: BytesMut::new(),
            told: 0,
            ends_at: now + Duration::from_secs(seconds),
            bookmark_at: now + BOOKMARK_EVERY,
            clock,
            shutdown: call.core.shutdown.clone(),
            failed: false,
            over: false,
        };
        if let Some(snapshot) = snapshot {
            watching.add_snapshot(snapshot, options.send_initial_events == Some(true)).await?;
        }
        Ok(watching)
    }

    async fn add_snapshot(&mut self, snapshot: Snapshot, asked: bool) -> Result<()> {
        for entry in &self.view.served.seen(snapshot.entries).await? {
            let frame = self.view.added_frame(entry)?;
            self.pending.extend_from_slice(&frame);
        }
        self.told = snapshot.revision;
        if asked && self.bookmarks {
            let frame = self.view.bookmark_frame(snapshot.revision, true)?;
            self.pending.extend_from_slice(&frame);
        }
        Ok(())
    }

    fn into_stream(self) -> impl Stream<Item = Result<Bytes, BoxError>> + Send {
        stream::unfold(self, |mut watching| async move {
            let chunk = watching.next_chunk().await?;
            Some((Ok(chunk), watching))
        })
    }

    async fn next_chunk(&mut self) -> Option<Bytes> {
        loop {
            if !self.pending.is_empty() {
                return Some(self.pending.split().freeze());
            }
            if self.over {
                return None;
            }
            self.step().await;
        }
    }

    /// Waits for the next thing that happens, and adds what there is to tell.
    async fn step(&mut self) {
        let now = self.clock.monotonic();
        let wake = if self.bookmarks { self.ends_at.min(self.bookmark_at) } else { self.ends_at };
        tokio::select! {
            () = self.watcher.changed() => {}
            () = self.clock.sleep(wake.saturating_sub(now)) => return self.on_time().await,
            () = self.shutdown.wait() => {
                self.over = true;
                return;
            }
        }
        self.add_changes().await;
    }

    /// Adds what the watcher has not looked at. Some(revision) if that was everything up to there.
    async fn add_changes(&mut self) -> Option<u64> {
        let taken = match self.watcher.take() {
            Ok(taken) => taken,
            Err(Lost) => {
                self.fail(&ApiError::expired("too old resource version: the watch fell behind"));
                return None;
            }
        };
        for (change, event, entry) in taken.seen {
            match self.frame(&change, event, entry).await {
                Ok(frame) => self.pending.extend_from_slice(&frame),
                Err(error) => {
                    self.fail(&error);
                    return None;
                }
            }
            self.told = change.revision;
        }
        taken.complete
    }

    /// The frame of a change; what others have encoded is not converted again.
    async fn frame(&self, change: &Change, event: EventType, entry: Arc<Entry>) -> Result<Bytes> {
        if self.view.has_frame(change, event) {
            return self.view.frame(change, event, &entry);
        }
        match self.view.served.seen(vec![entry]).await?.first() {
            Some(entry) => self.view.frame(change, event, entry),
            None => Ok(Bytes::new()), // one goes in, one comes out
        }
    }

    fn fail(&mut self, error: &ApiError) {
        self.pending.extend_from_slice(&self.view.error_frame(error));
        self.failed = true;
        self.over = true;
    }

    async fn on_time(&mut self) {
        let now = self.clock.monotonic();
        self.over = now >= self.ends_at;
        self.bookmark_at = now + BOOKMARK_EVERY;
        if self.bookmarks {
            self.add_bookmark().await;
        }
    }

    /// Everything up to the bookmark's revision has been added before it.
    async fn add_bookmark(&mut self) {
        while !self.failed {
            let Some(complete) = self.add_changes().await else { continue };
            if complete > self.told {
                match self.view.bookmark_frame(complete, false) {
                    Ok(frame) => self.pending.extend_from_slice(&frame),
                    Err(error) => return self.fail(&error),
                }
                self.told = complete;
            }
            return;
        }
    }
}
