//! Credential plugins: a program that answers with an ExecCredential.
//!
//! Upstream: client-go/plugin/pkg/client/auth/exec.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::resolve::{Auth, Exec};
use crate::error::{Error, Result};

/// Runs the program and takes the credentials that it prints.
///
/// # Errors
/// The program cannot be run, fails, or prints no ExecCredential of the asked version.
pub fn run(exec: &Exec, server: &str, auth: &mut Auth) -> Result {
    let text = |field: &str| exec.spec.get(field).and_then(Value::as_str).unwrap_or("");
    let (program, version) = (text("command"), text("apiVersion"));
    let output = command(exec, server)
        .output()
        .map_err(|error| failed(program, text("installHint"), &error.to_string()))?;
    if !output.status.success() {
        let code = output.status.code().unwrap_or(1);
        return Err(failed(program, "", &format!("exit code {code}")));
    }
    let answer: Value = serde_json::from_slice(&output.stdout).map_err(|error| {
        Error::Plain(format!(
            "Unable to connect to the server: getting credentials: decoding stdout: {error}"
        ))
    })?;
    if answer["apiVersion"] != version || answer["kind"] != "ExecCredential" {
        return Err(Error::Plain(format!(
            "Unable to connect to the server: getting credentials: exec plugin is configured to use API version {version}, plugin returned version {}",
            answer["apiVersion"].as_str().unwrap_or("")
        )));
    }
    let status = |field: &str| answer["status"][field].as_str().map(str::to_owned);
    if let Some(token) = status("token") {
        auth.token = token;
    }
    if let (Some(certificate), Some(key)) = (status("clientCertificateData"), status("clientKeyData")) {
        auth.certificate = Some(certificate.into_bytes());
        auth.key = Some(key.into_bytes());
    }
    Ok(())
}

fn command(exec: &Exec, server: &str) -> Command {
    let text = |value: &Value, field: &str| value[field].as_str().unwrap_or("").to_owned();
    let list = |field: &str| exec.spec.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut command = Command::new(text(&exec.spec, "command"));
    command.args(list("args").iter().filter_map(Value::as_str));
    command.envs(list("env").iter().map(|pair| (text(pair, "name"), text(pair, "value"))));
    let interactive =
        text(&exec.spec, "interactiveMode") != "Never" && std::io::IsTerminal::is_terminal(&std::io::stdin());
    let mut info = json!({
        "kind": "ExecCredential",
        "apiVersion": exec.spec["apiVersion"],
        "spec": {"interactive": interactive},
    });
    if exec.spec["provideClusterInfo"] == true {
        let mut cluster = json!({"server": server});
        for field in
            ["certificate-authority-data", "tls-server-name", "insecure-skip-tls-verify", "proxy-url"]
        {
            if let Some(value) = exec.cluster.get(field) {
                cluster[field] = value.clone();
            }
        }
        info["spec"]["cluster"] = cluster;
    }
    command.env("KUBERNETES_EXEC_INFO", info.to_string());
    command.stdin(if interactive { Stdio::inherit() } else { Stdio::null() });
    command.stderr(Stdio::inherit());
    command
}

fn failed(program: &str, hint: &str, reason: &str) -> Error {
    let mut text = format!(
        "Unable to connect to the server: getting credentials: exec: executable {program} failed with {reason}"
    );
    if !hint.is_empty() {
        text = format!("{text}\n\n{hint}");
    }
    Error::Plain(text)
}
