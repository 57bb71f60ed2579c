//! What can go wrong, in the words that upstream prints, and the one place where it is printed.

use std::fmt::Write;

use crate::rest::Status;

pub type Result<T = ()> = std::result::Result<T, Error>;

/// Why a command failed: by how it is told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Told behind `error: `.
    #[error("{0}")]
    Said(String),
    /// Told as it stands.
    #[error("{0}")]
    Plain(String),
    /// The server's own answer.
    #[error("{}", .0.message)]
    Status(Box<Status>),
    /// Nobody listens there.
    #[error("The connection to the server {0} was refused - did you specify the right host or port?")]
    Refused(String),
    /// The server was not reached.
    #[error("Unable to connect to the server: {0}")]
    Unreachable(String),
    /// Several objects failed, each for a reason of its own.
    #[error("{}", several(.0))]
    Many(Vec<Error>),
    /// All is told; only the code is left.
    #[error("exit status {0}")]
    Exit(i32),
    /// A command's own exit code, and what it means.
    #[error("{message}")]
    Code { code: i32, message: String },
}

impl Error {
    pub fn said(text: impl Into<String>) -> Self {
        Self::Said(text.into())
    }

    /// A wrong call: tells where the help is.
    pub fn usage(path: &str, text: impl AsRef<str>) -> Self {
        Self::Said(format!("{}\nSee '{path} -h' for help and examples", text.as_ref()))
    }

    pub fn is_not_found(&self) -> bool {
        self.has_reason("NotFound")
    }

    pub fn has_reason(&self, reason: &str) -> bool {
        matches!(self, Self::Status(status) if status.reason == reason)
    }

    /// None, the one, or all of them.
    pub fn all(mut errors: Vec<Self>) -> Result {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Self::Many(errors)),
        }
    }

    /// Says what was being done with which file's object.
    #[must_use]
    pub fn doing(self, verb: &str, source: &str) -> Self {
        if source.is_empty() {
            return self;
        }
        match self {
            Self::Status(mut status) => {
                status.message = format!("error when {verb} {source:?}: {}", status.message);
                Self::Status(status)
            }
            Self::Said(text) => Self::Said(format!("error when {verb} {source:?}: {text}")),
            other => other,
        }
    }

    /// What the user reads.
    pub fn told(&self) -> String {
        match self {
            Self::Exit(_) => String::new(),
            Self::Status(status) if status.reason == "Invalid" => invalid(status),
            Self::Said(text) if text.starts_with("error: ") => text.clone(),
            Self::Said(text) => format!("error: {text}"),
            Self::Many(errors) => several(errors),
            other => other.standard().unwrap_or_else(|| other.to_string()),
        }
    }

    pub fn code(&self) -> i32 {
        match self {
            Self::Exit(code) | Self::Code { code, .. } => *code,
            _ => 1,
        }
    }

    /// The words for an answer of the server, wherever it is told.
    fn standard(&self) -> Option<String> {
        match self {
            Self::Status(status) => Some(match status.reason.as_str() {
                "Unauthorized" => {
                    format!("error: You must be logged in to the server ({})", status.message)
                }
                "" => format!("Error from server: {}", status.message),
                reason => format!("Error from server ({reason}): {}", status.message),
            }),
            _ => None,
        }
    }
}

fn several(errors: &[Error]) -> String {
    let mut text = String::new();
    for error in errors {
        let line = error.standard().unwrap_or_else(|| error.to_string());
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line}");
    }
    text.truncate(text.trim_end_matches('\n').len());
    text
}

/// A refused object: its kind, its name, and each cause.
fn invalid(status: &Status) -> String {
    let mut text = String::from("The request is invalid");
    if !status.has_details {
        if !status.message.is_empty() {
            text = format!("{text}: {}", status.message);
        }
        return text;
    }
    if !status.kind.is_empty() || !status.name.is_empty() {
        text = format!("The {} {:?} is invalid", status.kind, status.name);
    } else if !status.message.is_empty() && status.causes.is_empty() {
        text = format!("{text}: {}", status.message);
    }
    match status.causes.as_slice() {
        [] => text,
        [one] => format!("{text}: {one}"),
        many => {
            let mut told: Vec<&str> = Vec::new();
            for cause in many {
                if !told.contains(&cause.as_str()) {
                    told.push(cause);
                }
            }
            match told.as_slice() {
                [one] => format!("{text}: {one}"),
                _ => format!("{text}: \n* {}", told.join("\n* ")),
            }
        }
    }
}
