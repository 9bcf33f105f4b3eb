//! What is written to a path, from the command line: `k=v`, `k=@file`, `k=-`, `@file` and `-`.

use std::io::Read;

use super::json::{Json, Members};

/// Returns what these arguments say, in their order. `@file` and `-` hold a JSON object; a key given twice becomes a
/// list.
///
/// The error is a text that follows "Failed to parse K=V data: ".
pub(super) fn parse(arguments: &[String], stdin: &mut dyn Read) -> Result<Members, String> {
    let mut reader = Reader { data: Members::new(), stdin: Some(stdin) };
    for argument in arguments.iter().filter(|argument| !argument.is_empty()) {
        reader.add(argument).map_err(|reason| format!("invalid key/value pair {argument:?}: {reason}"))?;
    }
    Ok(reader.data)
}

/// Returns what these arguments say as the parameters of a query.
pub(super) fn parse_query(arguments: &[String], stdin: &mut dyn Read) -> Result<Vec<(String, String)>, String> {
    let mut query = Vec::new();
    for (key, value) in parse(arguments, stdin)? {
        let values = match value {
            Json::List(values) => values,
            value => vec![value],
        };
        for value in values {
            match value {
                Json::Text(text) => query.push((key.clone(), text)),
                Json::List(_) | Json::Object(_) => {
                    return Err(format!("value of {key:?} does not fit into a query"));
                }
                value => query.push((key.clone(), value.to_string())),
            }
        }
    }
    Ok(query)
}

struct Reader<'a> {
    data: Members,
    /// None once it has been read to its end.
    stdin: Option<&'a mut dyn Read>,
}

impl Reader<'_> {
    fn add(&mut self, argument: &str) -> Result<(), String> {
        let Some((key, value)) = argument.split_once('=') else {
            let text = match argument.strip_prefix('@') {
                Some(file) => read_file(file)?,
                None if argument == "-" => self.read_stdin()?,
                None => return Err("format must be key=value".to_owned()),
            };
            // Serde's message may quote what stands there, which may be secret; its place is enough.
            let no_object =
                |e: serde_json::Error| format!("not a JSON object (line {}, column {})", e.line(), e.column());
            let object: Members = serde_json::from_str(&text).map_err(no_object)?;
            self.data.extend(object);
            return Ok(());
        };
        let value = match value.strip_prefix('@') {
            Some(file) => read_file(file)?,
            None if value == "-" => self.read_stdin()?,
            None if value.starts_with("\\@") => value[1..].to_owned(),
            None => value.to_owned(),
        };
        self.insert(key, Json::Text(value));
        Ok(())
    }

    fn insert(&mut self, key: &str, value: Json) {
        match self.data.get_mut(key) {
            None => {
                self.data.insert(key.to_owned(), value);
            }
            Some(Json::List(values)) => values.push(value),
            Some(present) => *present = Json::List(vec![std::mem::replace(present, Json::Null), value]),
        }
    }

    fn read_stdin(&mut self) -> Result<String, String> {
        let stdin = self.stdin.take().ok_or("stdin already consumed")?;
        let mut text = String::new();
        stdin.read_to_string(&mut text).map_err(|reason| format!("error reading stdin: {reason}"))?;
        Ok(text)
    }
}

fn read_file(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|reason| format!("error reading file: {path}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str], stdin: &str) -> Result<Json, String> {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        parse(&arguments, &mut stdin.as_bytes()).map(Json::Object)
    }

    #[test]
    fn pairs_files_and_stdin_make_one_object() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"{"n": 1}"#).unwrap();
        let path = file.path().display();
        for (arguments, stdin, expected) in [
            (
                vec!["a=b".to_owned(), "c=-d".to_owned(), "e=f=g".to_owned(), "h=".to_owned()],
                "",
                r#"{"a":"b","c":"-d","e":"f=g","h":""}"#,
            ),
            (vec!["a=1".to_owned(), "a=2".to_owned(), "a=3".to_owned()], "", r#"{"a":["1","2","3"]}"#),
            (vec!["a=-".to_owned()], "from stdin\n", r#"{"a":"from stdin\n"}"#),
            (vec!["-".to_owned(), "b=2".to_owned()], r#"{"a":{"b":[1]}}"#, r#"{"a":{"b":[1]},"b":"2"}"#),
            (vec![format!("@{path}")], "", r#"{"n":1}"#),
            (vec![format!("k=@{path}")], "", r#"{"k":"{\"n\": 1}"}"#),
            (vec![r"a=\@b".to_owned()], "", r#"{"a":"@b"}"#),
            (
                vec!["-".to_owned(), "d=1.10".to_owned()],
                r#"{"a": 18446744073709551616, "b": [100000000000000.01], "c": {"x": 1.10}}"#,
                r#"{"a":18446744073709551616,"b":[100000000000000.01],"c":{"x":1.10},"d":"1.10"}"#,
            ),
        ] {
            let data = parse(&arguments, &mut stdin.as_bytes()).unwrap();
            assert_eq!(serde_json::to_string(&data).unwrap(), expected, "{arguments:?}");
        }
    }

    #[test]
    fn what_is_no_pair_is_refused() {
        for (arguments, reason) in [
            (&["a"][..], r#"invalid key/value pair "a": format must be key=value"#),
            (&["a=-", "b=-"], r#"invalid key/value pair "b=-": stdin already consumed"#),
            (&["-"], r#"invalid key/value pair "-": not a JSON object (line 1, column 1)"#),
            (&["a=@/does/not/exist"], "error reading file: /does/not/exist"),
        ] {
            let refused = parsed(arguments, "hush").unwrap_err();
            assert!(refused.contains(reason), "{arguments:?}: {refused}");
            assert!(!refused.contains("hush"), "{refused}");
        }
    }
}
