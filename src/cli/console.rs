//! The only place that writes to standard output and standard error, and how a command ends.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use super::clean::for_terminal;

/// How the process ends. Vault's codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// All went well; for `status`: the server is unsealed.
    Success = 0,
    /// Wrong usage, or something wrong on this side.
    Local = 1,
    /// The server refused, did not answer, or has no such thing; for `status`: the server is sealed.
    Remote = 2,
    /// No command was given, or one that does not exist.
    NoCommand = 127,
}

/// Why a command ended before its last line.
pub(super) enum Ended {
    /// With an error, printed to standard error.
    Failed(Exit, String),
    /// With all that there is to say, printed to standard output.
    Answered(String),
}

impl Ended {
    /// Returns a failure on this side.
    pub(super) fn local(message: impl Into<String>) -> Self {
        Self::Failed(Exit::Local, message.into())
    }

    /// Returns a failure on the server's side, or in what leads there.
    pub(super) fn remote(message: impl Into<String>) -> Self {
        Self::Failed(Exit::Remote, message.into())
    }

    /// Returns the end with this code if it is a failure.
    pub(super) fn with_exit(self, exit: Exit) -> Self {
        match self {
            Self::Failed(_, message) => Self::Failed(exit, message),
            answered => answered,
        }
    }
}

/// Standard output and standard error. Nothing panics when one of them is closed, and no control sequence of a stored
/// text gets through to a terminal.
#[derive(Default)]
pub(super) struct Console {
    failure: Option<io::Error>,
}

impl Console {
    /// Prints what was asked for, with a line end.
    pub(super) fn line(&mut self, text: impl Display) {
        self.raw(line(&text.to_string(), io::stdout().is_terminal()).as_bytes());
    }

    /// Prints a line, and says whether it has left this process.
    pub(super) fn line_now(&mut self, text: impl Display) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}")?;
        stdout.flush()
    }

    /// Prints a bare value: for people with a line end, for programs without and to the byte.
    pub(super) fn value(&mut self, text: &str) {
        if io::stdout().is_terminal() {
            return self.line(text);
        }
        self.paint(text);
    }

    /// Prints bytes that a program asked for, as they are; a terminal gets what it can show.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        if io::stdout().is_terminal() {
            return self.line(String::from_utf8_lossy(bytes).trim_end());
        }
        self.raw(bytes);
    }

    /// Writes to a terminal that is used whole: text and control sequences, as they are.
    pub(super) fn paint(&mut self, text: &str) {
        self.raw(text.as_bytes());
    }

    fn raw(&mut self, bytes: &[u8]) {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
        self.failure = self.failure.take().or(written.err());
    }

    /// Prints what the person should know besides, to standard error.
    pub(super) fn note(&mut self, text: impl Display) {
        // With standard error closed, there is nobody left to tell.
        let _ = writeln!(io::stderr().lock(), "{}", for_terminal(&text.to_string()));
    }

    /// Returns the code to end with: a result that nobody received is no success, unless the reader had read enough.
    pub(super) fn finish(mut self, exit: Exit) -> Exit {
        match self.failure.take() {
            Some(failure) if exit == Exit::Success && failure.kind() != io::ErrorKind::BrokenPipe => {
                self.note(format!("Error writing output: {failure}"));
                Exit::Local
            }
            _ => exit,
        }
    }
}

/// Returns what is printed of a text, with a line end.
fn line(text: &str, is_terminal: bool) -> String {
    if is_terminal { for_terminal(text) + "\n" } else { format!("{text}\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_control_characters_and_a_program_all() {
        let hostile = "\x1b[31m\r\u{9b}two\nlines";
        assert_eq!(line(hostile, true), "\\x1b[31m\\r\\u{9b}two\nlines\n");
        assert_eq!(line(hostile, false), format!("{hostile}\n"));
    }
}
