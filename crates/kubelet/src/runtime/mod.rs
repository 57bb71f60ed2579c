//! What the container runtime says, in the kubelet's own words, and the calls that ask it.
//!
//! Reading order: [`state`], [`labels`], [`client`].

pub(crate) mod client;
pub(crate) mod labels;
pub(crate) mod state;

pub(crate) use client::{Cri, CriError};
pub(crate) use state::{ContainerRecord, PodRuntime, Run, Sandbox};
