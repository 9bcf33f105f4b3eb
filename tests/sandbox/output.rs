//! What plugins write: line by line, with plugin and mount named, cleaned, cut and rationed.

use std::time::Duration;

use cofferdam::Limits;

use crate::bench::{Bench, SECRET, limits};
use crate::journal::Journal;

fn mine(journal: &Journal) -> Vec<(String, String)> {
    let lines = journal.of_plugins();
    for line in &lines {
        assert_eq!((line.plugin.as_str(), line.mount.as_str()), ("hostile", "bad/"), "{line:?}");
        assert!(!line.whole.chars().any(char::is_control), "a control character is in {line:?}");
    }
    lines.into_iter().map(|line| (line.level, line.message)).collect()
}

#[tokio::test]
async fn lines_are_named_and_cleaned() {
    let journal = Journal::begin();
    let bench = Bench::with_hostile(limits()).await;
    bench.ask("bad/lines").await.expect("the plugin answers");
    let expected = [
        ("INFO", "out one"),
        ("INFO", "out two  [2J  end"),
        ("INFO", "out three"),
        ("WARN", "err one  ]0;title "),
        ("WARN", "log one 2026-01-01T00:00:00Z ERROR forged: everything is lost field =value [31m"),
        ("INFO", "out without an end"),
    ];
    assert_eq!(mine(&journal), expected.map(|(level, message)| (level.to_owned(), message.to_owned())));
}

#[tokio::test]
async fn a_panic_message_is_logged_and_not_told_to_the_client() {
    let journal = Journal::begin();
    let bench = Bench::with_hostile(limits()).await;
    let error = bench.ask("bad/panic").await.expect_err("the plugin panics");
    assert!(!error.message().contains("forged"), "{error}");
    let lines = mine(&journal);
    assert!(lines.contains(&("WARN".to_owned(), "forged".to_owned())), "{lines:?}");
}

#[tokio::test]
async fn a_line_that_a_trap_cuts_off_is_logged() {
    let journal = Journal::begin();
    let bench = Bench::with_hostile(limits()).await;
    bench.ask("bad/cut-off").await.expect_err("the plugin aborts");
    assert_eq!(mine(&journal), [("WARN".to_owned(), "the last words".to_owned())]);
}

#[tokio::test]
async fn a_long_line_is_cut() {
    let journal = Journal::begin();
    let bench = Bench::with_hostile(limits()).await;
    bench.ask("bad/long").await.expect("the plugin answers");
    let lengths: Vec<_> = mine(&journal).iter().map(|(_, message)| message.len()).collect();
    assert_eq!(lengths, [1 << 10, 1 << 10]);
}

#[tokio::test]
async fn a_flood_is_cut_and_what_was_dropped_is_counted() {
    for way in ["stdout", "stderr", "log"] {
        let journal = Journal::begin();
        let request_deadline = Duration::from_secs(30);
        let limits = Limits { log_bytes_per_second_max: 8 << 10, request_deadline, ..limits() };
        let bench = Bench::with_hostile(limits).await;
        bench.ask(&format!("bad/{way}")).await.expect("the plugin answers");
        let count = || {
            let lines = mine(&journal);
            let written = lines.iter().filter(|(_, message)| message.starts_with("flood")).count();
            let told =
                lines.iter().filter_map(|(_, message)| message.strip_suffix(" log lines were dropped: too many"));
            (written, told.map(|count| count.parse::<usize>().expect("a count")).sum::<usize>())
        };
        assert!(count().0 < 2_000, "{way}: some of the flood is dropped");
        // The next line that the budget allows brings the count of those that it did not.
        loop {
            bench.ask("bad/lines").await.expect("the plugin answers");
            let (written, dropped) = count();
            if dropped >= 2_000 - written {
                break;
            }
        }
        assert!(journal.lines().iter().all(|line| !line.whole.contains(SECRET)));
    }
}
