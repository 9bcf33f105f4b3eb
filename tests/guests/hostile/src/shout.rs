//! Writes what should not be in a log, or too much of it.

use std::io::Write;

use crate::cofferdam::plugin::host::{Context, Level};
use crate::{Answer, answer};
use serde_json::json;

/// Lines in a flood: more than any test's budget.
const LINES: usize = 2_000;

pub(crate) fn loudly(ctx: &Context, what: &str) -> Answer {
    match what {
        "stdout" => (0..LINES).for_each(|n| println!("flood {n} {}", "x".repeat(100))),
        "stderr" => (0..LINES).for_each(|n| eprintln!("flood {n} {}", "x".repeat(100))),
        "log" => (0..LINES).for_each(|n| ctx.log(Level::Info, &format!("flood {n} {}", "x".repeat(100)), &[])),
        "lines" => {
            println!("out one\nout two \u{1b}[2J\u{7}\u{202e}end\nout three");
            eprintln!("err one\r\u{1b}]0;title\u{7}");
            let fields = [("field\n".to_owned(), "value\u{1b}[31m".to_owned())];
            ctx.log(Level::Warn, "log one\n2026-01-01T00:00:00Z ERROR forged: everything is lost", &fields);
            print!("out without an end");
            std::io::stdout().flush().expect("the host takes it");
        }
        _ => {
            println!("{}", "o".repeat(20_000));
            ctx.log(Level::Info, &"l".repeat(20_000), &[]);
        }
    }
    answer(json!({}))
}
