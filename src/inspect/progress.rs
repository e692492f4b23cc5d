//! Progress of long work, on standard error, when that is a terminal.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// Nothing is shown of work that is shorter than this, and it is shown anew as often.
const INTERVAL: Duration = Duration::from_millis(250);

/// A line on the terminal that is written over and over.
#[derive(Debug)]
pub struct Progress {
    shown_at: Option<Instant>,
    is_shown: bool,
}

impl Progress {
    /// Shows progress where a person can see it.
    pub fn on_terminal() -> Progress {
        Progress { shown_at: stderr().is_terminal().then(Instant::now), is_shown: false }
    }

    /// Shows nothing.
    pub fn silent() -> Progress {
        Progress { shown_at: None, is_shown: false }
    }

    /// Tells how far the work is: `what` is made only when it is shown.
    pub fn tell(&mut self, what: impl FnOnce() -> String) {
        let Some(shown_at) = self.shown_at else {
            return;
        };
        if shown_at.elapsed() < INTERVAL {
            return;
        }
        self.shown_at = Some(Instant::now());
        self.is_shown = true;
        // A terminal that is gone is no reason to stop.
        let _ = write!(stderr(), "\r\x1b[K{}", what());
    }

    /// Takes the line away, before something else is written.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
