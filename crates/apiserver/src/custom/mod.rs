//! Custom resources: what a CustomResourceDefinition makes of the server while it runs.
//!
//! In reading order: [`definition`] (a definition, compiled), [`install`] (what is served and stored by it), [`conversion`], [`names`]
//! (which names it gets, and its conditions), [`rules`] (expressions), [`keeper`] (the task that writes those, and empties what is being
//! deleted). The schema engine is [`api::custom`]; everything else is the path that built-in resources take.
//!
//! The store feed installs a definition before anybody sees it as Established, so that whoever waits for that finds
//! its resource served.
//!
//! Upstream: apiextensions-apiserver/pkg/{apiserver,controller,registry}.

pub mod conversion;
pub mod definition;
mod install;
pub mod keeper;
mod names;
pub mod rules;

pub use conversion::{Converter, Converters};
pub use definition::{Definition, Kind, Scale, Version};
pub use install::{Installed, serve};
pub use names::{is_protected, set as set_condition};

/// Group and resource of definitions.
pub const DEFINITIONS: (&str, &str) = ("apiextensions.k8s.io", "customresourcedefinitions");
/// Holds a definition until its objects are gone.
pub const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";
