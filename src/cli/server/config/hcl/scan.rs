//! Splits a text into the words of HCL.

use super::tree::{Span, SyntaxError};

/// A word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A name without quotes.
    Name(String),
    Boolean(bool),
    Integer(i64),
    Fraction,
    /// A text in quotes, which may be a name as well.
    Text(String),
    Heredoc(String),
    Comma,
    Equals,
    BraceOpens,
    BraceCloses,
    BracketOpens,
    BracketCloses,
    /// The end of the text.
    End,
}

/// Whether a character starts a name; digits, `-` and `.` may follow.
fn starts_name(character: char) -> bool {
    character == '_' || character.is_alphabetic()
}

fn continues_name(character: char) -> bool {
    starts_name(character) || character.is_numeric() || matches!(character, '-' | '.')
}

/// Reads a text word by word.
pub(super) struct Scanner<'a> {
    text: &'a str,
    /// The byte after what was read; always between two characters.
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        // Editors of Windows put a mark before the first character.
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self { text, at }
    }

    /// Returns the next word and where it stands. After the end it is the end again.
    pub(super) fn next(&mut self) -> Result<(Token, Span), SyntaxError> {
        self.skip_blanks_and_comments()?;
        let start = self.at;
        let Some(first) = self.take() else {
            return Ok((Token::End, start..start));
        };
        let token = match first {
            '{' => Token::BraceOpens,
            '}' => Token::BraceCloses,
            '[' => Token::BracketOpens,
            ']' => Token::BracketCloses,
            ',' => Token::Comma,
            '=' => Token::Equals,
            '"' => Token::Text(self.quoted(start)?),
            '<' => Token::Heredoc(self.heredoc(start)?),
            '-' | '.' if self.peek().is_some_and(|next| next.is_ascii_digit()) => self.number(start)?,
            _ if first.is_ascii_digit() => self.number(start)?,
            _ if starts_name(first) => {
                self.take_while(continues_name);
                match &self.text[start..self.at] {
                    "true" => Token::Boolean(true),
                    "false" => Token::Boolean(false),
                    name => Token::Name(name.to_owned()),
                }
            }
            other => return Err(SyntaxError::new(start, refuse(other))),
        };
        Ok((token, start..self.at))
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += character.len_utf8();
        Some(character)
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let taken = &rest[..rest.find(|character| !wanted(character)).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    fn skip_blanks_and_comments(&mut self) -> Result<(), SyntaxError> {
        loop {
            self.take_while(|character| matches!(character, ' ' | '\t' | '\r' | '\n'));
            let rest = self.rest();
            if rest.starts_with('#') || rest.starts_with("//") {
                self.take_while(|character| character != '\n');
            } else if let Some(comment) = rest.strip_prefix("/*") {
                let Some(length) = comment.find("*/") else {
                    return Err(SyntaxError::new(self.at, "the comment that starts here is not closed: write */"));
                };
                self.at += "/*".len() + length + "*/".len();
            } else {
                return Ok(());
            }
        }
    }

    /// Reads a number whose first character was taken. What merely starts like one is refused as a whole.
    fn number(&mut self, start: usize) -> Result<Token, SyntaxError> {
        self.take_while(|character| {
            character.is_alphanumeric() || matches!(character, '.' | '+' | '-' | '_' | ':' | '/' | '%')
        });
        let written = &self.text[start..self.at];
        let digits = written.strip_prefix('-').unwrap_or(written);
        let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
        let (radix, digits) = match hexadecimal {
            Some(digits) => (16, digits),
            None if digits.len() > 1 && digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.starts_with('0') => {
                (8, &digits[1..])
            }
            None => (10, digits),
        };
        if !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix)) {
            // With the sign: the smallest number has no positive counterpart.
            let sign = if written.starts_with('-') { "-" } else { "" };
            return match i64::from_str_radix(&format!("{sign}{digits}"), radix) {
                Ok(number) => Ok(Token::Integer(number)),
                Err(_) => Err(SyntaxError::new(start, "the number does not fit into 64 bits")),
            };
        }
        let may_be_fraction = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'+' | b'-' | b'e' | b'E');
        if radix == 10 && digits.bytes().all(may_be_fraction) && digits.parse::<f64>().is_ok() {
            return Ok(Token::Fraction);
        }
        let why = match radix {
            8 => "a number with a zero before it is octal, and has no 8 and no 9: leave the zero out",
            16 => "a hexadecimal number has digits and the letters a to f after its 0x",
            _ => "what starts with a digit and is no number needs quotes, such as \"90s\"",
        };
        Err(SyntaxError::new(start, why))
    }

    /// Reads a text whose opening quote was taken.
    fn quoted(&mut self, start: usize) -> Result<String, SyntaxError> {
        let unclosed = || {
            let why = "the text that starts here has no closing quote on its line; <<EOF starts one of several lines";
            SyntaxError::new(start, why)
        };
        // Bytes, since escapes may write a character byte by byte.
        let mut bytes = Vec::new();
        loop {
            let at = self.at;
            match self.take() {
                None | Some('\n') => return Err(unclosed()),
                Some('"') => break,
                Some('\\') => self.escape(at, &mut bytes)?,
                Some('$') if self.peek() == Some('{') => {
                    // Quotes, line breaks and backslashes in there are part of the text.
                    let mut braces = 0_usize;
                    loop {
                        match self.take() {
                            None => return Err(unclosed()),
                            Some('{') => braces += 1,
                            Some('}') => braces -= 1,
                            Some(_) => {}
                        }
                        if braces == 0 {
                            break;
                        }
                    }
                    bytes.extend_from_slice(&self.text.as_bytes()[at..self.at]);
                }
                Some(_) => bytes.extend_from_slice(&self.text.as_bytes()[at..self.at]),
            }
        }
        String::from_utf8(bytes).map_err(|_| SyntaxError::new(start, "the escapes in this text are no UTF-8"))
    }

    /// Reads an escape whose backslash, at `at`, was taken.
    fn escape(&mut self, at: usize, bytes: &mut Vec<u8>) -> Result<(), SyntaxError> {
        const KNOWN: &str =
            "write \\\\ for a backslash; escapes are \\n \\t \\r \\\" \\a \\b \\f \\v \\NNN \\xNN \\uNNNN \\UNNNNNNNN";
        let refused = || SyntaxError::new(at, format!("an escape that HCL does not have: {KNOWN}"));
        let simple = match self.take() {
            Some('a') => 0x07,
            Some('b') => 0x08,
            Some('f') => 0x0c,
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('v') => 0x0b,
            Some('\\') => b'\\',
            Some('"') => b'"',
            Some('0'..='7') => {
                self.at -= 1;
                u8::try_from(self.digits(3, 8).ok_or_else(refused)?).map_err(|_| refused())?
            }
            Some('x') => u8::try_from(self.digits(2, 16).ok_or_else(refused)?).map_err(|_| refused())?,
            Some(kind @ ('u' | 'U')) => {
                let number = self.digits(if kind == 'u' { 4 } else { 8 }, 16).ok_or_else(refused)?;
                let character = char::from_u32(number).ok_or_else(refused)?;
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(refused()),
        };
        bytes.push(simple);
        Ok(())
    }

    /// Reads exactly so many digits.
    fn digits(&mut self, count: usize, radix: u32) -> Option<u32> {
        let digits = self.rest().get(..count)?;
        if !digits.chars().all(|digit| digit.is_digit(radix)) {
            return None;
        }
        self.at += count;
        u32::from_str_radix(digits, radix).ok()
    }

    /// Reads a heredoc whose first `<` was taken, to the end of its closing word. Its text ends with a line break.
    fn heredoc(&mut self, start: usize) -> Result<String, SyntaxError> {
        const FORM: &str = "a text of several lines starts with <<EOF, and EOF alone on a line ends it";
        let malformed = || SyntaxError::new(start, FORM);
        if self.take() != Some('<') {
            return Err(malformed());
        }
        let indented = self.peek() == Some('-');
        if indented {
            self.take();
        }
        let word = self.take_while(|character| starts_name(character) || character.is_numeric());
        let after = self.rest();
        let Some(mut body) = after.strip_prefix('\n').or_else(|| after.strip_prefix("\r\n")) else {
            return Err(malformed());
        };
        if word.is_empty() {
            return Err(malformed());
        }
        let mut lines = Vec::new();
        let margin = loop {
            let (line, rest) = body.split_once('\n').unwrap_or((body, ""));
            let trimmed = line.trim_end_matches('\r');
            if let Some(margin) = trimmed.strip_suffix(word)
                && margin.chars().all(char::is_whitespace)
            {
                // What follows the word, its line's end included, is read as usual.
                self.at = self.text.len() - body.len() + trimmed.len();
                break margin;
            }
            if rest.is_empty() {
                let why = format!("the text that starts here is not closed: write {word} alone on a line");
                return Err(SyntaxError::new(start, why));
            }
            lines.push(trimmed);
            body = rest;
        };
        // As its first parser did: the closing word's margin goes from every line if all have it, and stays behind the
        // last line where nobody asked for less.
        let strip = indented && lines.iter().all(|line| line.starts_with(margin));
        let mut text = String::new();
        for line in lines {
            text.push_str(if strip { &line[margin.len()..] } else { line });
            text.push('\n');
        }
        if !indented {
            text.push_str(margin);
        }
        Ok(text)
    }
}

/// Says why a character starts no word, and what is usually meant.
fn refuse(character: char) -> String {
    let hint = match character {
        ':' => "a name and its value have '=' between them",
        ';' => "settings need a blank, a comma or a line's end between them, and no ';'",
        '\'' | '`' | '“' | '”' | '„' => "texts stand in double quotes",
        '(' | ')' | '?' | '!' | '+' | '-' | '*' | '&' | '|' | '>' | '$' | '%' => {
            "nothing is computed: write the value out, texts in quotes"
        }
        '/' => "comments start with //, # or /*",
        _ => "names, values and braces are expected, texts in quotes",
    };
    // Debug shows what a terminal would act on.
    format!("unexpected character {character:?}: {hint}")
}
