//! What a machine may lack, and what then becomes of the tests that need it: each names what it leaves out, unless
//! `COFFERDAM_REQUIRE` says that this machine has it.

/// Names what a machine must have, with commas between.
const REQUIRE: &str = "COFFERDAM_REQUIRE";

/// What it may name.
const KNOWN: [&str; 3] = ["cargo-component", "go", "landlock"];

/// Returns what is to be said of what is left out for want of something.
///
/// # Panics
///
/// When the machine must have it, and when something is required that no test knows.
pub(crate) fn left_out(wanted: &str, what: impl std::fmt::Display) -> String {
    assert!(KNOWN.contains(&wanted), "{wanted:?} is nothing that a test may lack");
    let required = std::env::var(REQUIRE).unwrap_or_default();
    let mut required = required.split(',').map(str::trim).filter(|name| !name.is_empty());
    let unknown = required.clone().find(|name| !KNOWN.contains(name));
    assert_eq!(unknown, None, "{REQUIRE} names what no test knows; it may name {KNOWN:?}");
    assert!(!required.any(|name| name == wanted), "{REQUIRE} names {wanted}, which is not here: {what}");
    format!("left out, for want of {wanted}: {what}")
}
