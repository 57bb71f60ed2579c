//! All plugins in upstream's order.

use std::sync::Arc;

use super::{Admission, Request};
use crate::ApiError;

/// The plugins that are on, in order. Cheap to clone.
#[derive(Clone)]
pub struct Chain(Arc<[Arc<dyn Admission>]>);

impl Chain {
    pub fn new(plugins: Vec<Arc<dyn Admission>>) -> Self {
        Self(plugins.into())
    }

    /// A chain that admits everything as it is.
    pub fn empty() -> Self {
        Self::new(Vec::new())
    }

    /// The chain with one more at its end.
    #[must_use]
    pub fn and(&self, plugin: Arc<dyn Admission>) -> Self {
        Self(self.0.iter().cloned().chain([plugin]).collect())
    }

    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|plugin| plugin.name()).collect()
    }

    /// Lets every plugin change the object; twice, if a webhook did so.
    ///
    /// # Errors
    /// The first refusal.
    pub async fn admit(&self, request: &mut Request) -> Result<(), ApiError> {
        loop {
            for plugin in self.0.iter() {
                plugin.admit(request).await?;
            }
            if !request.rounds.begin_second() {
                return Ok(());
            }
        }
    }

    /// Lets every plugin refuse the object as it would be stored.
    ///
    /// # Errors
    /// The first refusal.
    pub async fn validate(&self, request: &Request) -> Result<(), ApiError> {
        for plugin in self.0.iter() {
            plugin.validate(request).await?;
        }
        Ok(())
    }
}
