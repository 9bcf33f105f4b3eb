//! A plugin's text on its way to a person: it keeps its words and nothing else.

/// Bytes of a plugin's text that answers, states and reports repeat. What matters fits; what does not would fill the
/// log.
const BRIEF_BYTES_MAX: usize = 2 << 10;

/// Returns the beginning of a plugin's text, cleaned.
pub(super) fn brief(text: &str) -> String {
    clean(&text[..text.floor_char_boundary(BRIEF_BYTES_MAX)])
}

/// Returns a plugin's text without control characters and without the ones that turn the writing direction around.
pub(super) fn clean(text: &str) -> String {
    let is_hostile = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if is_hostile(c) { ' ' } else { c }).collect()
}

/// Returns text of several lines as one entry of a log: what follows the first is set in, so that none passes for an
/// entry.
#[cfg(feature = "process")]
pub(super) fn one_entry(text: &str) -> String {
    text.replace('\n', "\n    ")
}

#[cfg(all(test, feature = "process"))]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_a_plugin_printed_does_not_pass_for_an_entry() {
        assert_eq!(one_entry("it ended:\n2026-01-01 ERROR forged\n"), "it ended:\n    2026-01-01 ERROR forged\n    ");
    }
}
