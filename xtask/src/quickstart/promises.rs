//! What is promised, whether it was kept, and what is said about it.

use std::process::ExitCode;

/// The promises looked at so far.
#[derive(Debug, Default)]
pub(super) struct Promises {
    kept: usize,
    broken: Vec<String>,
}

impl Promises {
    /// Prints whether a promise was kept; `otherwise` says what happened instead.
    pub(super) fn hold(&mut self, promise: &str, kept: bool, otherwise: impl FnOnce() -> String) {
        if kept {
            self.kept += 1;
            println!("  kept    {promise}");
        } else {
            let line = format!("{promise}: {}", otherwise());
            println!("  BROKEN  {line}");
            self.broken.push(line);
        }
    }

    /// Prints the end of the story. Failure if any promise was not kept.
    pub(super) fn verdict(&self) -> ExitCode {
        println!();
        if self.broken.is_empty() {
            println!("all {} promises kept", self.kept);
            return ExitCode::SUCCESS;
        }
        for line in &self.broken {
            eprintln!("not kept: {line}");
        }
        eprintln!(
            "{} of {} promises were not kept",
            self.broken.len(),
            self.kept + self.broken.len()
        );
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use std::process::ExitCode;

    use super::Promises;

    #[test]
    fn one_broken_promise_is_enough_to_fail() {
        let shown = |promises: &Promises| format!("{:?}", promises.verdict());
        let mut promises = Promises::default();
        promises.hold("the sun rises", true, || unreachable!());
        assert_eq!(shown(&promises), format!("{:?}", ExitCode::SUCCESS));
        promises.hold("it rains", false, || "dry".to_owned());
        promises.hold("the sun sets", true, || unreachable!());
        assert_eq!(shown(&promises), format!("{:?}", ExitCode::FAILURE));
        assert_eq!(promises.broken, ["it rains: dry"]);
    }
}
