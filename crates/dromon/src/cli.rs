//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Kubernetes in one binary.
///
/// `dromon up` brings up a cluster on this machine; point kubectl at DIR/admin.kubeconfig.
#[derive(Parser)]
#[command(name = "dromon", version, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Bring up a control plane and a node on this machine.
    Up(Up),
    /// Stop the cluster and its containers; the data stays.
    Down(At),
    /// Remove every trace: data, mounts, interfaces, tables, cgroups.
    Reset(Reset),
    /// Tell whether the cluster runs, and how it is.
    Status(At),
    /// Work on the images of the embedded runtime.
    #[command(subcommand)]
    Image(Image),
    /// What the demo image runs.
    #[command(hide = true)]
    Demo {
        #[command(subcommand)]
        command: DemoCommand,
    },
}

/// Where a cluster lives.
#[derive(Args, Clone)]
pub struct At {
    /// The cluster's folder: data, keys, logs, and the kubeconfig.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/dromon")]
    pub data_dir: PathBuf,
}

#[derive(Args, Clone)]
pub struct Up {
    #[command(flatten)]
    pub at: At,
    /// Return once the node is Ready, and leave the cluster running in the background.
    #[arg(long)]
    pub detach: bool,
    /// Says the word that a detaching parent waits for.
    #[arg(long, hide = true)]
    pub tell_ready: bool,
    /// The port of the API server. Two clusters on one machine need two.
    #[arg(long, value_name = "PORT", default_value_t = 6443)]
    pub api_port: u16,
    /// The port of the kubelet.
    #[arg(long, value_name = "PORT", default_value_t = 10250)]
    pub kubelet_port: u16,
    /// The addresses of this node's pods. Two clusters on one machine need two ranges.
    #[arg(long, value_name = "CIDR", default_value = "10.244.0.0/24")]
    pub pod_cidr: String,
}

#[derive(Args)]
pub struct Reset {
    #[command(flatten)]
    pub at: At,
    /// Do it without asking.
    #[arg(long)]
    pub yes: bool,
}

#[derive(Subcommand)]
pub enum Image {
    /// Import an archive: an OCI layout or what `docker save` writes, compressed or not.
    Import {
        #[command(flatten)]
        at: At,
        /// The archive; `-` reads standard input.
        archive: PathBuf,
    },
    /// Fetch an image from its registry.
    Pull {
        #[command(flatten)]
        at: At,
        /// The image, such as docker.io/library/nginx:latest.
        image: String,
        /// Credentials, as USER:PASSWORD.
        #[arg(long, value_name = "USER:PASSWORD")]
        creds: Option<String>,
    },
    /// List images.
    Ls {
        #[command(flatten)]
        at: At,
    },
    /// Remove images by name or id.
    Rm {
        #[command(flatten)]
        at: At,
        #[arg(required = true)]
        images: Vec<String>,
    },
}

#[derive(Subcommand)]
pub enum DemoCommand {
    /// Answer HTTP with the pod's name.
    Serve {
        #[arg(long, default_value_t = 8080)]
        port: u16,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
