//! The terminal while it is used whole: taken when opened, given back when dropped, on whatever way out.

use std::io::{self, IsTerminal as _};
use std::time::Instant;

use crossterm::Command;
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::terminal::{self, Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::console::Console;

/// What a person may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Sort,
    /// The window has another size.
    Redraw,
}

/// Returns whether there is somebody to watch, and to press keys.
pub(super) fn is_interactive() -> bool {
    io::stdout().is_terminal() && io::stdin().is_terminal()
}

/// The whole terminal, in raw mode.
pub(super) struct Screen<'a> {
    console: &'a mut Console,
}

impl<'a> Screen<'a> {
    pub(super) fn open(console: &'a mut Console) -> io::Result<Self> {
        give_back_on_signals()?;
        terminal::enable_raw_mode()?;
        // From here on dropping it gives the terminal back.
        let screen = Self { console };
        screen.console.paint(&[ansi(&EnterAlternateScreen), ansi(&Hide)].concat());
        Ok(screen)
    }

    /// Shows a text, as much of it as fits.
    pub(super) fn show(&mut self, text: &str) -> io::Result<()> {
        let (columns, rows) = terminal::size()?;
        let fitting = fitting(text, columns.into(), rows.into());
        self.console.paint(&[ansi(&MoveTo(0, 0)), fitting].concat());
        Ok(())
    }

    /// Returns what the person asks for, `None` if nothing is until this moment.
    pub(super) fn key_before(&mut self, until: Instant) -> io::Result<Option<Key>> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || !event::poll(left)? {
                return Ok(None);
            }
            if let Some(key) = key(&event::read()?) {
                return Ok(Some(key));
            }
        }
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        give_back(self.console);
    }
}

fn give_back(console: &mut Console) {
    console.paint(&[ansi(&Show), ansi(&LeaveAlternateScreen)].concat());
    // A terminal that is gone needs nothing back.
    drop(terminal::disable_raw_mode());
}

/// Sees to it that a process that is told to end gives the terminal back first, whatever it is waiting for just then.
fn give_back_on_signals() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut terminated, mut hung_up) = {
        let _entered = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?)
    };
    let watch = move || {
        let number = runtime.block_on(async {
            tokio::select! {
                _ = terminated.recv() => SignalKind::terminate(),
                _ = hung_up.recv() => SignalKind::hangup(),
            }
        });
        give_back(&mut Console::default());
        // As a shell says that a signal ended a program.
        std::process::exit(128 + number.as_raw_value());
    };
    std::thread::Builder::new().name("top-signals".to_owned()).spawn(watch).map(drop)
}

/// Returns what an event asks for. In raw mode Ctrl-C is a key like others.
fn key(event: &Event) -> Option<Key> {
    match event {
        Event::Resize(..) => Some(Key::Redraw),
        Event::Key(key) if key.kind == KeyEventKind::Press => match key.code {
            KeyCode::Char('c' | 'd') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Key::Quit),
            KeyCode::Char('q') | KeyCode::Esc => Some(Key::Quit),
            KeyCode::Char('s') => Some(Key::Sort),
            _ => None,
        },
        _ => None,
    }
}

/// Returns the lines that fit, cut where they are too long. In raw mode a line's end does not go back to the left by
/// itself.
fn fitting(text: &str, columns: usize, rows: usize) -> String {
    let lines: Vec<String> = text.lines().take(rows).map(|line| line.chars().take(columns).collect()).collect();
    let last = lines.len().saturating_sub(1);
    // Over what was there, which is cleared line by line: clearing it all at once would flicker. Before a line and not
    // behind it, where one that fills the width would lose its last character.
    let over = |(at, line): (usize, &String)| {
        let old = if at == last { ClearType::FromCursorDown } else { ClearType::UntilNewLine };
        ansi(&Clear(old)) + line
    };
    lines.iter().enumerate().map(over).collect::<Vec<_>>().join("\r\n")
}

fn ansi(command: &impl Command) -> String {
    let mut text = String::new();
    // Writing to a text cannot fail.
    let _ = command.write_ansi(&mut text);
    text
}

#[cfg(test)]
mod tests {
    use crossterm::event::KeyEvent;

    use super::*;

    #[test]
    fn keys_mean_what_the_page_says() {
        let press = |code, modifiers| Event::Key(KeyEvent::new(code, modifiers));
        for (event, expected) in [
            (press(KeyCode::Char('q'), KeyModifiers::NONE), Some(Key::Quit)),
            (press(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Key::Quit)),
            (press(KeyCode::Char('c'), KeyModifiers::NONE), None),
            (press(KeyCode::Char('s'), KeyModifiers::NONE), Some(Key::Sort)),
            (Event::Resize(80, 24), Some(Key::Redraw)),
            (Event::FocusLost, None),
        ] {
            assert_eq!(key(&event), expected, "{event:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        assert_eq!(fitting("äbc\nd\ne", 2, 2), "\u{1b}[Käb\r\n\u{1b}[Jd");
    }
}
