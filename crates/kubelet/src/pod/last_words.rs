//! What a container left in its termination message file, or in its log if it may be taken from there.
//!
//! Upstream: pkg/kubelet/kuberuntime/kuberuntime_container.go, getTerminationMessage.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};

use crate::logs::tail;
use crate::runtime::{ContainerRecord, PodRuntime, Run};

/// Bytes that a status may carry.
const LONGEST: u64 = 4096;
/// Of a log: so many bytes and lines.
const LOG_BYTES: usize = 2048;
const LOG_LINES: usize = 80;

/// By container ID.
pub(crate) fn of(runtime: &PodRuntime, known: &mut HashMap<String, String>) {
    for record in runtime.containers.iter().filter(|c| c.run == Run::Exited) {
        if !known.contains_key(&record.id) {
            let words = one(record);
            known.insert(record.id.clone(), words);
        }
    }
    known.retain(|id, _| runtime.containers.iter().any(|c| c.id == *id));
}

fn one(record: &ContainerRecord) -> String {
    let Some(file) = &record.termination_message else { return record.message.clone() };
    let words = read(&file.host_path)
        .unwrap_or_else(|error| format!("Error on reading termination log {}: {error}", file.host_path));
    if words.is_empty() && file.fall_back_to_logs && record.exit_code != 0 {
        // A log that cannot be read has nothing to add.
        return tail::last(&record.log_path, LOG_LINES, LOG_BYTES).unwrap_or_default();
    }
    if words.is_empty() { record.message.clone() } else { words }
}

fn read(path: &str) -> io::Result<String> {
    if path.is_empty() {
        return Ok(String::new());
    }
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(LONGEST).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
