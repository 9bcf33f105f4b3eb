//! `plugin top`: what plugins and mounts do right now, from two looks at `sys/metrics`.
//!
//! `scrape` reads an answer, `rates` makes rows of two of them, `screen` holds the terminal. Where nobody watches, one
//! table is printed.

mod rates;
mod scrape;
mod screen;

use std::time::{Duration, Instant};

use clap::Args;
use cofferdam_contract::GoDuration;
use serde::Serialize;

use self::rates::{Order, Row};
use self::scrape::Scrape;
use self::screen::{Key, Screen};
use crate::cli::Session;
use crate::cli::client::{Call, Client, during};
use crate::cli::console::{Console, Ended, Exit};
use crate::cli::duration;
use crate::cli::flags::Positionals;
use crate::cli::output::Format;

/// Long enough for rates that mean something, short enough to see what a change does.
const INTERVAL_DEFAULT: Duration = Duration::from_secs(2);

/// Each look costs the server a walk over its mounts.
const INTERVAL_MIN: Duration = Duration::from_millis(200);

/// Longer than anybody watches.
const INTERVAL_MAX: Duration = Duration::from_secs(3_600);

/// `plugin top`
#[derive(Args)]
#[command(override_usage = "cofferdam plugin top [options]")]
pub(in crate::cli) struct TopCommand {
    /// Time between two looks, over which rates are taken [default: 2s]
    #[arg(long)]
    interval: Option<String>,
    /// Print one table after one interval, as it is done where standard output is no terminal
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    arguments: Positionals,
}

/// What programs get.
#[derive(Serialize)]
struct Report<'a> {
    /// Over which the rates are taken.
    interval_seconds: f64,
    /// Each plugin, and behind it its mounts.
    rows: &'a [Row],
}

impl TopCommand {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Ended> {
        let [] = self.arguments.exactly()?;
        let interval = interval(self.interval.as_deref())?;
        let is_watched = session.view.format == Format::Table && screen::is_interactive();
        if self.once || !is_watched {
            return once(session, interval);
        }
        watch(&session.client, session.console, interval)
    }
}

fn interval(typed: Option<&str>) -> Result<Duration, Ended> {
    let Some(typed) = typed else { return Ok(INTERVAL_DEFAULT) };
    let parsed = typed.parse::<GoDuration>().map_err(|why| Ended::local(format!("Invalid interval: {why}")))?;
    parsed.to_std().filter(|interval| (INTERVAL_MIN..=INTERVAL_MAX).contains(interval)).ok_or_else(|| {
        let (min, max) = (INTERVAL_MIN.as_millis(), INTERVAL_MAX.as_secs());
        Ended::local(format!("Invalid interval {typed}: it is at least {min}ms and at most {max}s"))
    })
}

fn once(session: &mut Session<'_>, interval: Duration) -> Result<Exit, Ended> {
    let first = look(&session.client)?;
    std::thread::sleep(interval);
    let second = look(&session.client)?;
    let rows = rates::rows(&first, &second, Order::Requests);
    let interval_seconds = second.since(&first).as_secs_f64();
    session.view.table(session.console, rates::table(&rows), &Report { interval_seconds, rows: &rows })?;
    Ok(Exit::Success)
}

/// Shows one table after another until the person has seen enough. The screen is given back however this ends.
fn watch(client: &Client, console: &mut Console, interval: Duration) -> Result<Exit, Ended> {
    let failed = |error: std::io::Error| Ended::local(format!("Error using the terminal: {error}"));
    // Before the screen is taken: what may go wrong with the first look is told on the person's own screen.
    let (mut before, mut order) = (look(client)?, Order::Requests);
    let mut screen = Screen::open(console).map_err(failed)?;
    let mut rows = Vec::new();
    screen.show(&page(&rows, order, interval)).map_err(failed)?;
    loop {
        let next = Instant::now() + interval;
        loop {
            match screen.key_before(next).map_err(failed)? {
                Some(Key::Quit) => return Ok(Exit::Success),
                Some(Key::Sort) => {
                    order = order.next();
                    rates::sort(&mut rows, order);
                }
                Some(Key::Redraw) => {}
                None => break,
            }
            screen.show(&page(&rows, order, interval)).map_err(failed)?;
        }
        let now = look(client)?;
        rows = rates::rows(&before, &now, order);
        before = now;
        screen.show(&page(&rows, order, interval)).map_err(failed)?;
    }
}

/// Returns what the screen holds: a line on how to use it, and the table.
fn page(rows: &[Row], order: Order, interval: Duration) -> String {
    let head = format!(
        "every {}, sorted by {} (s: another, q: quit); p50 and p99 are estimated from buckets",
        duration::for_people(GoDuration::from_std(interval)),
        order.name()
    );
    match rows {
        [] => format!("{head}\n\nNothing to show yet."),
        rows => format!("{head}\n\n{}", rates::table(rows)),
    }
}

fn look(client: &Client) -> Result<Scrape, Ended> {
    let answer = client.send(&Call::get("sys/metrics")).and_then(|answer| answer.json());
    let what = "reading metrics";
    Scrape::read(answer.map_err(during(what))?).map_err(|why| Ended::remote(format!("Error {what}: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_have_bounds() {
        assert_eq!(interval(None).ok(), Some(INTERVAL_DEFAULT));
        for (typed, expected) in [("2s", Some(2_000)), ("200ms", Some(200)), ("1h", Some(3_600_000))] {
            assert_eq!(interval(Some(typed)).ok(), expected.map(Duration::from_millis), "{typed}");
        }
        for typed in ["0", "199ms", "-2s", "1h1s", "fast", ""] {
            assert!(interval(Some(typed)).is_err(), "{typed}");
        }
    }
}
