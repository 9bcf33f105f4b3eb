//! Puts the words of HCL together.

use super::scan::{Scanner, Token};
use super::tree::{Item, Key, Kind, Span, SyntaxError, Value};

/// Characters of a name that an error shows.
const NAME_SHOWN_MAX: usize = 40;

/// Parses a text. `depth_max` bounds how deep objects and lists nest, labels counted as objects.
pub(super) fn parse(text: &str, depth_max: usize) -> Result<Vec<Item>, SyntaxError> {
    if let Some(at) = text.find('\0') {
        return Err(SyntaxError::new(at, "a NUL character: this is no text"));
    }
    let mut scanner = Scanner::new(text);
    let (token, span) = scanner.next()?;
    let mut parser = Parser { scanner, token, span, depth_max };
    let items = parser.items(depth_max)?;
    match parser.token {
        Token::End => Ok(items),
        _ => Err(SyntaxError::new(parser.span.start, "'}' closes nothing: leave it out")),
    }
}

struct Parser<'a> {
    scanner: Scanner<'a>,
    /// The next word, and where it stands.
    token: Token,
    span: Span,
    depth_max: usize,
}

impl Parser<'_> {
    /// Returns the next word and moves on.
    fn take(&mut self) -> Result<(Token, Span), SyntaxError> {
        let (token, span) = self.scanner.next()?;
        Ok((std::mem::replace(&mut self.token, token), std::mem::replace(&mut self.span, span)))
    }

    /// Moves on if the next word is this one.
    fn skip(&mut self, token: &Token) -> Result<bool, SyntaxError> {
        let found = self.token == *token;
        if found {
            self.take()?;
        }
        Ok(found)
    }

    /// Reads items up to a closing brace or the end, which is left. A comma may follow each.
    fn items(&mut self, depth_left: usize) -> Result<Vec<Item>, SyntaxError> {
        let mut items = Vec::new();
        while !matches!(self.token, Token::BraceCloses | Token::End) {
            items.push(self.item(depth_left)?);
            self.skip(&Token::Comma)?;
        }
        Ok(items)
    }

    fn item(&mut self, depth_left: usize) -> Result<Item, SyntaxError> {
        let mut keys = Vec::new();
        while let Token::Name(_) | Token::Text(_) = self.token {
            if let (Token::Name(name) | Token::Text(name), span) = self.take()? {
                keys.push(Key { name, span });
            }
        }
        let Some(first) = keys.first() else {
            return Err(SyntaxError::new(self.span.start, format!("{}, expected a name", describe(&self.token))));
        };
        let at = first.span.start;
        let shown: String = first.name.chars().take(NAME_SHOWN_MAX).collect();
        let value = match (&self.token, keys.len()) {
            (Token::Equals, 1) => {
                self.take()?;
                self.value(depth_left)?
            }
            (Token::Equals, _) => {
                let message = format!("{shown:?} has labels, and these stand before '{{': leave the '=' out");
                return Err(SyntaxError::new(at, message));
            }
            (Token::BraceOpens, labels) => match depth_left.checked_sub(labels - 1) {
                Some(depth_left) => self.value(depth_left)?,
                None => return Err(self.too_deep(at)),
            },
            _ => {
                let message = format!("{shown:?} has no value: write NAME = VALUE, or NAME {{ … }}, texts in quotes");
                return Err(SyntaxError::new(at, message));
            }
        };
        Ok(Item { keys, value })
    }

    fn value(&mut self, depth_left: usize) -> Result<Value, SyntaxError> {
        let at = self.span.start;
        if let Token::BraceOpens | Token::BracketOpens = self.token
            && depth_left == 0
        {
            return Err(self.too_deep(at));
        }
        // Before what follows is read: `env("X")` is wrong for its first word already.
        if let Token::Name(_) = self.token {
            let message = "a word without quotes is no value: texts stand in quotes, and nothing is computed";
            return Err(SyntaxError::new(at, message));
        }
        let (token, mut span) = self.take()?;
        let kind = match token {
            Token::Boolean(value) => Kind::Boolean(value),
            Token::Integer(value) => Kind::Integer(value),
            Token::Fraction => Kind::Fraction,
            Token::Text(text) | Token::Heredoc(text) => Kind::Text(text),
            Token::BraceOpens => {
                let items = self.items(depth_left - 1)?;
                // Only the end stops the items otherwise.
                span.end = self.span.end;
                if !self.skip(&Token::BraceCloses)? {
                    return Err(SyntaxError::new(at, "the block that starts here is not closed: '}' is missing"));
                }
                Kind::Object(items)
            }
            Token::BracketOpens => {
                let values = self.list(at, depth_left - 1)?;
                span.end = self.span.end;
                self.take()?;
                Kind::List(values)
            }
            other => return Err(SyntaxError::new(at, format!("{}, expected a value", describe(&other)))),
        };
        Ok(Value { kind, span })
    }

    /// Reads values with commas between them up to the closing bracket, which is left. Too many commas do no harm.
    fn list(&mut self, opened_at: usize, depth_left: usize) -> Result<Vec<Value>, SyntaxError> {
        let mut values = Vec::new();
        let mut separated = true;
        loop {
            match self.token {
                Token::BracketCloses => return Ok(values),
                Token::End => {
                    return Err(SyntaxError::new(opened_at, "the list that starts here is not closed: ']' is missing"));
                }
                Token::Comma => {
                    self.take()?;
                    separated = true;
                }
                _ if separated => {
                    values.push(self.value(depth_left)?);
                    separated = false;
                }
                _ => {
                    let message = format!("{}, expected ',' or ']'", describe(&self.token));
                    return Err(SyntaxError::new(self.span.start, message));
                }
            }
        }
    }

    fn too_deep(&self, at: usize) -> SyntaxError {
        SyntaxError::new(at, format!("nested more than {} deep", self.depth_max))
    }
}

/// Returns what a word is, without what a text says.
fn describe(token: &Token) -> &'static str {
    match token {
        Token::Name(_) => "a word",
        Token::Boolean(true) => "true",
        Token::Boolean(false) => "false",
        Token::Integer(_) | Token::Fraction => "a number",
        Token::Text(_) | Token::Heredoc(_) => "a text",
        Token::Comma => "','",
        Token::Equals => "'='",
        Token::BraceOpens => "'{'",
        Token::BraceCloses => "'}'",
        Token::BracketOpens => "'['",
        Token::BracketCloses => "']'",
        Token::End => "the end of the file",
    }
}
