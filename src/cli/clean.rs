//! What stored data may do to a terminal: nothing. Keys, values, descriptions and messages come from plugins and from
//! other people.

use std::fmt::Write as _;

/// Returns a text in which everything that could move a cursor, change a colour or reorder a line is spelled out:
/// `\x1b`, `\u{202e}`. Line ends and tabs stay.
pub(crate) fn for_terminal(text: &str) -> String {
    spelled(text, |c| is_hostile(c) && !matches!(c, '\n' | '\t'))
}

/// Returns a text as one line, for a cell of a table.
pub(crate) fn for_cell(text: &str) -> String {
    spelled(text, is_hostile)
}

/// Returns a JSON text with the same meaning, in which no such character stands as itself. JSON's own writer leaves
/// some.
pub(super) fn for_json(text: &str) -> String {
    if !text.chars().any(is_hostile_in_json) {
        return text.to_owned();
    }
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hostile_in_json(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                // Writing to a String cannot fail.
                let _ = write!(clean, "\\u{unit:04x}");
            }
        } else {
            clean.push(c);
        }
    }
    clean
}

/// Whether a character does something else than to be seen: controls, line and paragraph separators, direction marks,
/// the byte order mark.
pub(super) fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Line ends stand between JSON's members; inside a text there is none.
fn is_hostile_in_json(c: char) -> bool {
    is_hostile(c) && c != '\n'
}

fn spelled(text: &str, is_bad: impl Fn(char) -> bool) -> String {
    if !text.chars().any(&is_bad) {
        return text.to_owned();
    }
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if !is_bad(c) => clean.push(c),
            '\n' => clean.push_str("\\n"),
            '\r' => clean.push_str("\\r"),
            '\t' => clean.push_str("\\t"),
            c if c.is_ascii() => {
                let _ = write!(clean, "\\x{:02x}", u32::from(c));
            }
            c => clean.extend(c.escape_unicode()),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_but_text() {
        for (hostile, line, cell) in [
            ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
            ("\x1b]0;title\x07", r"\x1b]0;title\x07", r"\x1b]0;title\x07"),
            ("\u{9b}2J", r"\u{9b}2J", r"\u{9b}2J"),
            ("a\rb\u{8}\u{7f}", r"a\rb\x08\x7f", r"a\rb\x08\x7f"),
            ("two\nlines\t.", "two\nlines\t.", r"two\nlines\t."),
            ("\u{202e}drow\u{2066}\u{feff}", r"\u{202e}drow\u{2066}\u{feff}", r"\u{202e}drow\u{2066}\u{feff}"),
            ("grün 日本 👍", "grün 日本 👍", "grün 日本 👍"),
        ] {
            assert_eq!(for_terminal(hostile), line);
            assert_eq!(for_cell(hostile), cell);
        }
    }

    #[test]
    fn json_means_the_same() {
        let text = "a\u{9b}\u{7f}\u{202e}\u{e0041}\x1b\nü";
        let json = for_json(&serde_json::to_string_pretty(&[text]).unwrap());
        assert!(!json.chars().any(is_hostile_in_json), "{json:?}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [text]);
    }
}
