//! How a layer of the request path is written: one async function that may answer, fail, or go on.

use std::sync::Arc;

use async_trait::async_trait;

use crate::error::Result;
use crate::{Request, Response};

/// A layer of the path. An error travels up as [`crate::ApiError`] and becomes a response in the outermost one.
#[async_trait]
pub trait Stage: Send + Sync + 'static {
    async fn call(&self, request: Request, next: Next<'_>) -> Result<Response>;
}

/// What comes behind a stage.
pub struct Next<'a>(&'a [(&'static str, Arc<dyn Stage>)]);

impl Next<'_> {
    /// Goes on down the path.
    pub async fn run(self, request: Request) -> Result<Response> {
        match self.0.split_first() {
            Some(((_, stage), rest)) => stage.call(request, Next(rest)).await,
            // The last stage is the handler, which never goes on.
            None => Err(crate::ApiError::no_such_path()),
        }
    }
}

/// The whole path, outermost first.
#[derive(Clone)]
pub struct Stages(Arc<[(&'static str, Arc<dyn Stage>)]>);

impl Stages {
    pub fn new(stages: Vec<(&'static str, Arc<dyn Stage>)>) -> Self {
        Self(stages.into())
    }

    /// The names in order; a test compares them with upstream's.
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|(name, _)| *name).collect()
    }

    pub async fn run(&self, request: Request) -> Result<Response> {
        Next(&self.0).run(request).await
    }
}
