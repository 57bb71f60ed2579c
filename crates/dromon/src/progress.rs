//! What a person sees while a cluster comes up.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use stdx::Clock;

/// The line with which a detached process tells its parent that it is ready.
pub const READY: &str = "\u{6}ready";

/// Prints steps with the time that they took.
pub struct Progress {
    clock: Clock,
    began: Duration,
    last: Duration,
    fancy: bool,
}

impl Progress {
    pub fn new(clock: Clock) -> Self {
        let now = clock.monotonic();
        Self { clock, began: now, last: now, fancy: io::stdout().is_terminal() }
    }

    /// A step is done.
    pub fn done(&mut self, what: &str) {
        let now = self.clock.monotonic();
        let took = now.saturating_sub(self.last);
        self.last = now;
        let mark = if self.fancy { "\x1b[32m✓\x1b[0m" } else { "✓" };
        say(&format!(" {mark} {what} ({:.2} s)", took.as_secs_f64()));
    }

    pub fn elapsed(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.began)
    }
}

/// Prints a line. Nobody may be listening any more: a cluster does not end for that.
pub fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
