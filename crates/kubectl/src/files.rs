//! Small things about files.

use std::io;

/// An I/O error in the words of Go's syscall package.
pub fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::IsADirectory => "is a directory".into(),
        io::ErrorKind::NotADirectory => "not a directory".into(),
        io::ErrorKind::AlreadyExists => "file exists".into(),
        _ => {
            let text = error.to_string();
            // std adds the number of the error.
            text.split(" (os error").next().unwrap_or(&text).to_lowercase()
        }
    }
}
