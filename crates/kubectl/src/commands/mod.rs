//! The commands, one file each, and the table that lists them.

pub mod download;
pub mod plugin;

mod api_resources;
mod apply;
mod auth;
mod certificate;
mod cluster_info;
mod completion;
mod config;
mod cp;
mod create;
mod delete;
mod describe;
mod exec;
mod expose;
mod get;
mod label;
mod logs;
mod nodes;
mod options;
mod patch;
mod port_forward;
mod replace;
mod rollout;
mod run;
mod scale;
mod set;
mod version;
mod wait;

use crate::cli::Command;

/// In alphabetical order.
pub const ALL: &[Command] = &[
    label::ANNOTATE,
    api_resources::RESOURCES,
    api_resources::VERSIONS,
    apply::COMMAND,
    exec::ATTACH,
    auth::COMMAND,
    expose::AUTOSCALE,
    certificate::COMMAND,
    cluster_info::COMMAND,
    completion::COMMAND,
    completion::WORDS,
    config::COMMAND,
    nodes::CORDON,
    cp::COMMAND,
    create::COMMAND,
    delete::COMMAND,
    describe::COMMAND,
    nodes::DRAIN,
    exec::EXEC,
    expose::EXPOSE,
    get::COMMAND,
    label::LABEL,
    logs::COMMAND,
    options::COMMAND,
    patch::COMMAND,
    plugin::COMMAND,
    port_forward::COMMAND,
    replace::COMMAND,
    rollout::COMMAND,
    run::COMMAND,
    scale::COMMAND,
    set::COMMAND,
    nodes::TAINT,
    nodes::UNCORDON,
    version::COMMAND,
    wait::COMMAND,
];
