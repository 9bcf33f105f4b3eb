//! Everything that is wrong with a configuration, gathered so that an operator mends it once.

use std::fmt;

use super::document::Place;

/// Problems that are shown. A file of another kind altogether would otherwise fill the screen.
const PROBLEMS_SHOWN_MAX: usize = 20;

/// One thing to mend, or to know: shown as `FILE:LINE: message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    place: Place,
    message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Why a configuration is refused: every problem on a line of its own, sorted by file and line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ConfigError {
    problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().take(PROBLEMS_SHOWN_MAX).enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            write!(f, "{line_break}{problem}")?;
        }
        match self.problems.len().saturating_sub(PROBLEMS_SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Gathers what reading and validation find.
#[derive(Debug, Default)]
pub(super) struct Findings {
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Findings {
    /// Adds what makes the configuration unusable.
    pub(super) fn problem(&mut self, place: &Place, message: impl Into<String>) {
        self.problems.push(Problem { place: place.clone(), message: message.into() });
    }

    /// Adds what the operator should know and may leave.
    pub(super) fn warning(&mut self, place: &Place, message: impl Into<String>) {
        self.warnings.push(Problem { place: place.clone(), message: message.into() });
    }

    /// Whether anything makes the configuration unusable so far.
    pub(super) fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    /// Returns the value with the warnings, if there was no problem.
    pub(super) fn conclude<T>(mut self, value: Option<T>) -> Result<(T, Vec<Problem>), ConfigError> {
        // Validation asks setting by setting; an operator reads file by file. The sort is stable.
        self.problems.sort_by(|a, b| (&a.place.file, a.place.line).cmp(&(&b.place.file, b.place.line)));
        match value {
            Some(value) if self.problems.is_empty() => Ok((value, self.warnings)),
            _ => Err(ConfigError { problems: self.problems }),
        }
    }
}
