//! One line about what is going on: a spinner on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::ProgressBar;

/// Work under way; says nothing more once dropped.
pub(crate) struct Progress {
    spinner: Option<ProgressBar>,
}

impl Progress {
    /// Begins with `message`.
    pub(crate) fn start(message: &str) -> Self {
        let spinner = stderr().is_terminal().then(|| {
            let spinner = ProgressBar::new_spinner();
            spinner.enable_steady_tick(Duration::from_millis(120));
            spinner
        });
        let progress = Self { spinner };
        progress.note(message);
        progress
    }

    /// Replaces the message (a further line where there is no terminal).
    pub(crate) fn note(&self, message: &str) {
        match &self.spinner {
            Some(spinner) => spinner.set_message(message.to_owned()),
            None => eprintln!("{message}"),
        }
    }

    /// Prints a line that stays, above the spinner.
    pub(crate) fn keep(&self, message: &str) {
        match &self.spinner {
            Some(spinner) => spinner.println(message),
            None => eprintln!("{message}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}
