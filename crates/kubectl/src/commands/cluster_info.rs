//! `kubectl cluster-info`: where the control plane and its services are.

use std::io::IsTerminal;

use crate::cli::Command;
use crate::context::Context;
use crate::error::Result;
use crate::resources::{Wanted, list_all};

pub const COMMAND: Command =
    Command::new("cluster-info", "Display cluster information", "[flags]").run(|cx| Box::pin(run(cx)));

fn colored(color: u8, text: &str) -> String {
    if std::io::stdout().is_terminal() { format!("\u{1b}[{color}m{text}\u{1b}[0m") } else { text.to_owned() }
}

async fn run(cx: Context) -> Result {
    let services = cx.resource("services").await?;
    let wanted = Wanted { labels: "kubernetes.io/cluster-service=true".to_owned(), ..Wanted::default() };
    let found = list_all(&cx, &services, Some("kube-system"), &wanted).await?;
    let server = cx.rest().await?.server().to_owned();
    let line =
        |name: &str, link: &str| format!("{} is running at {}\n", colored(32, name), colored(33, link));
    let mut text = line("Kubernetes control plane", &server);
    for service in found {
        let port = &service.object["spec"]["ports"][0];
        let named = port["name"]
            .as_str()
            .filter(|name| !name.is_empty())
            .map(|name| format!(":{name}"))
            .unwrap_or_default();
        let scheme = if port["port"] == 443 { "https:" } else { "" };
        let name = service.object["metadata"]["labels"]["kubernetes.io/name"]
            .as_str()
            .unwrap_or(&service.name)
            .to_owned();
        text.push_str(&line(
            &name,
            &format!("{server}/api/v1/namespaces/kube-system/services/{scheme}{}{named}/proxy", service.name),
        ));
    }
    text.push_str("\nTo further debug and diagnose cluster problems, use 'kubectl cluster-info dump'.\n");
    crate::say(&text);
    Ok(())
}
