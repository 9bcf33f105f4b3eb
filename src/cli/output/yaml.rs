//! YAML that readers of 1.1 and of 1.2 take for the same thing.
//!
//! Those of 1.1 read `yes`, `1_000`, `1:30`, `2024-01-01` and more as something else than text, and each reader has its
//! own idea of it. So plain text is what cannot be anything else: it begins with a letter, holds nothing special, and
//! is no word that means something; or it is a UUID. All else is quoted. Numbers stand as they were written.

use crate::cli::clean::is_hostile;
use crate::cli::json::Json;

/// Words that some reader takes for truth or nothing, in lower case.
const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];

/// Longer keys than 1,024 characters have to be marked. Quotes and escapes count, up to ten characters each.
const PLAIN_KEY_CHARS_MAX: usize = 100;

/// Returns a value as a document, without a line end.
pub(super) fn document(value: &Json) -> String {
    let mut text = String::new();
    write(&mut text, value, 0, Place::Start);
    text
}

/// What stands before a value on its line.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// Nothing, or a dash: a collection begins here.
    Start,
    /// A key: a collection begins on the next line.
    AfterKey,
}

fn write(out: &mut String, value: &Json, indent: usize, place: Place) {
    let begin = |out: &mut String, number: usize, indent: usize| {
        if number > 0 || place == Place::AfterKey {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
        }
    };
    let gap = |out: &mut String| out.push_str(if place == Place::AfterKey { " " } else { "" });
    match value {
        Json::List(items) if !items.is_empty() => {
            // Below its key a list stands as far left as the key, as Vault's does.
            let indent = if place == Place::AfterKey { indent.saturating_sub(2) } else { indent };
            for (number, item) in items.iter().enumerate() {
                begin(out, number, indent);
                out.push_str("- ");
                write(out, item, indent + 2, Place::Start);
            }
        }
        Json::Object(members) if !members.is_empty() => {
            for (number, (key, member)) in members.iter().enumerate() {
                begin(out, number, indent);
                if key.chars().count() > PLAIN_KEY_CHARS_MAX {
                    out.push_str(&format!("? {}\n{}:", scalar(key), " ".repeat(indent)));
                } else {
                    out.push_str(&format!("{}:", scalar(key)));
                }
                write(out, member, indent + 2, Place::AfterKey);
            }
        }
        Json::Text(text) if fits_block(text) => {
            gap(out);
            out.push_str("|-");
            // At the document's top a block has to be indented too.
            let indent = indent.max(2);
            for line in text.split('\n') {
                out.push('\n');
                if !line.is_empty() {
                    out.push_str(&" ".repeat(indent));
                    out.push_str(line);
                }
            }
        }
        value => {
            gap(out);
            out.push_str(&match value {
                Json::Text(text) => scalar(text),
                Json::Number(digits) => number(digits),
                Json::Bool(value) => value.to_string(),
                Json::List(_) => "[]".to_owned(),
                Json::Object(_) => "{}".to_owned(),
                Json::Null => "null".to_owned(),
            });
        }
    }
}

/// Returns a number. Readers of 1.1 know an exponent only with a sign and behind a fraction.
fn number(digits: &str) -> String {
    let Some((mantissa, exponent)) = digits.split_once(['e', 'E']) else { return digits.to_owned() };
    let fraction = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with(['+', '-']) { "" } else { "+" };
    format!("{mantissa}{fraction}e{sign}{exponent}")
}

/// Returns a text on one line: plain, in single quotes, or with escapes.
fn scalar(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    if !text.chars().any(needs_escape) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if needs_escape(c) => quoted.push_str(&match u32::from(c) {
                code @ 0..=0xff => format!("\\x{code:02x}"),
                code @ 0x100..=0xffff => format!("\\u{code:04x}"),
                code => format!("\\U{code:08x}"),
            }),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn is_plain(text: &str) -> bool {
    if is_uuid(text) {
        return true;
    }
    let is_harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '_' | '-' | '.' | '/' | '+' | '@');
    text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '/'))
        && !text.ends_with(' ')
        && text.chars().all(is_harmless)
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

/// Whether a text is a UUID in lower case. Whatever digit it begins with, none is a number or a date to any reader, and
/// Vault's stand bare.
fn is_uuid(text: &str) -> bool {
    const PARTS: [usize; 5] = [8, 4, 4, 4, 12];
    text.split('-').map(str::len).eq(PARTS)
        && text.chars().all(|c| c == '-' || c.is_ascii_digit() || matches!(c, 'a'..='f'))
}

/// Whether a text may stand as it is, line below line. One that ends with a line end may not: whether it is kept would
/// depend on what is printed after it.
fn fits_block(text: &str) -> bool {
    text.contains('\n')
        && !text.starts_with([' ', '\n'])
        && !text.ends_with('\n')
        && !text.chars().any(|c| c != '\n' && needs_escape(c))
}

/// Noncharacters are no YAML.
fn needs_escape(c: char) -> bool {
    is_hostile(c) || u32::from(c) & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml(json: &str) -> String {
        document(&Json::parse(json).unwrap())
    }

    #[test]
    fn what_some_reader_takes_for_something_else_is_quoted() {
        let words = "y Y yes Yes YES n N no No NO true True TRUE false False on On ON off Off OFF null Null NULL ~";
        let numbers = "0 1 -1 +1 1_000 0b101 0b1_0 0o7 017 0x1F 0x_1 08 1. .5 1.5 1e5 1E5 1e+5 1.0e+5 6.02_3 -.5 .inf -.Inf \
                       +.INF .nan .NaN .NAN 1:30 190:20:30 190:20:30.15 -1:30 12e03 -2E+05 0. -0.0 685_230.15 1__0";
        let dates = "2024-01-01 2001-12-14t21:59:43.10-05:00 2001-12-14T21:59:43Z 2024-1-1";
        let marks = "= << - ? : -- --- ... , [ ] { } # & * ! | > ' \" % @ ` [a] {a} &a *a !a |a >a %a @a `a #a -a ?a :a a:b a: a#b \
                     !!int . .. <";
        for text in [words, numbers, dates, marks].into_iter().flat_map(str::split_whitespace) {
            assert_eq!(scalar(text), format!("'{}'", text.replace('\'', "''")), "{text}");
        }
        for text in ["", " ", " a", "a ", "a # b", "a: b", "- a", "2001-12-14 21:59:43.10 -5", "2024-01-01-1-1", "ü"] {
            assert_eq!(scalar(text), format!("'{text}'"));
        }
        for text in [
            "a",
            "ab cd",
            "yesterday",
            "nope",
            "none",
            "e5",
            "secret/data/x",
            "v1.2.3",
            "a-b_c",
            "_x",
            "/a",
            "nan",
            "inf",
            "00000000-0000-0000-0000-000000000000",
            "1e345678-1234-4234-8234-123456789012",
            "20240101-0000-4000-8000-00000000000e",
        ] {
            assert_eq!(scalar(text), text);
        }
        for (text, quoted) in [
            ("\n", r#""\n""#),
            ("a\tb", r#""a\tb""#),
            ("\x1b[0m\\\"", r#""\x1b[0m\\\"""#),
            ("\u{85}\u{2028}\u{feff}\u{fffe}\u{e0001}", r#""\x85\u2028\ufeff\ufffe\U000e0001""#),
        ] {
            assert_eq!(scalar(text), quoted);
        }
    }

    #[test]
    fn numbers_keep_their_digits() {
        for (json, expected) in [
            ("18446744073709551616", "18446744073709551616"),
            ("100000000000000.01", "100000000000000.01"),
            ("1.10", "1.10"),
            ("1e5", "1.0e+5"),
            ("1.25E-3", "1.25e-3"),
        ] {
            assert_eq!(yaml(json), expected);
        }
    }

    #[test]
    fn collections_are_nested() {
        let json = r#"{"a":{"b":[1,{"c":[],"d":{}},[2,3]]},"e":"x\ny\n","f":["p\n\nq"],"no":"yes","g":null}"#;
        let expected = "a:\n  b:\n  - 1\n  - c: []\n    d: {}\n  - - 2\n    - 3\ne: \"x\\ny\\n\"\nf:\n- |-\n  p\n\n  q\ng: null\n\
                        'no': 'yes'";
        assert_eq!(yaml(json), expected);
    }

    #[test]
    fn a_reader_gets_back_what_was_written() {
        let long = "k".repeat(2_000);
        let hostile = [
            "a\nb",
            "a\nb\n",
            "\na\nb",
            " a\nb",
            "a\n\n",
            "a\n b\n\tc",
            "a\r\nb",
            "|\n-",
            "\u{7f}",
            "''",
            "a\u{2028}b\nc",
            "\t\nx",
        ];
        let json = serde_json::json!({
            "deep": [[[{"x": hostile}]], {"y": [{}]}], "": {"": ""}, "~": [true, false, null, 1, -2.5], (long): {"in": [1]},
            "text": hostile,
        });
        let text = document(&Json::from(&json));
        let back: serde_json::Value = serde_norway::from_str(&text).unwrap();
        assert_eq!(back, json, "{text}");
        for text in hostile {
            let back: serde_json::Value = serde_norway::from_str(&document(&Json::Text(text.to_owned()))).unwrap();
            assert_eq!(back, text);
        }
    }
}
