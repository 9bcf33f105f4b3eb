//! The forms of HCL 1, good and bad.

use super::parse::parse;
use super::tree::{Item, Kind};

/// Nesting that the tests allow.
const DEPTH_MAX: usize = 8;

/// Writes items the way JSON would, which is short to compare: labels become nested objects.
fn show(items: &[Item]) -> String {
    let shown = items.iter().map(|item| {
        let value = item
            .keys
            .iter()
            .skip(1)
            .rev()
            .fold(show_kind(&item.value.kind), |value, label| format!("{{{}:{value}}}", label.name));
        format!("{}:{value}", item.keys[0].name)
    });
    shown.collect::<Vec<_>>().join(",")
}

fn show_kind(kind: &Kind) -> String {
    match kind {
        Kind::Boolean(value) => value.to_string(),
        Kind::Integer(value) => value.to_string(),
        Kind::Fraction => "fraction".to_owned(),
        Kind::Text(text) => format!("{text:?}"),
        Kind::List(values) => {
            let shown: Vec<_> = values.iter().map(|value| show_kind(&value.kind)).collect();
            format!("[{}]", shown.join(","))
        }
        Kind::Object(items) => format!("{{{}}}", show(items)),
    }
}

#[test]
fn forms_are_read_as_the_first_parser_did() {
    for (text, shown) in [
        ("", ""),
        ("\u{feff}a = 1", "a:1"),
        ("# a\n// b = 1\n/* c\n = */ # d", ""),
        // Items: on a line, after a brace, with commas and without.
        ("a = 1 b = 2\nc = 3, d = 4,", "a:1,b:2,c:3,d:4"),
        ("a { b = 1 c = 2 }", "a:{b:1,c:2}"),
        ("a { b = 1, c = 2, } d=4", "a:{b:1,c:2},d:4"),
        ("a\n{\nb\n=\n1\n}", "a:{b:1}"),
        ("a { b = 1\n c = 2 } d {}", "a:{b:1,c:2},d:{}"),
        ("a = 1\r\nb = 2\r\n", "a:1,b:2"),
        ("a = 1 # one\nb = 2 // two\nc = /* three */ 3", "a:1,b:2,c:3"),
        ("a = #one\n1", "a:1"),
        // Names.
        ("\"a\" = 1 b = 2", "a:1,b:2"),
        ("\"a b\" \"c\" { d = 1 }", "a b:{c:{d:1}}"),
        ("a b \"c\" d { }", "a:{b:{c:{d:{}}}}"),
        ("a.b-c_d9 = 1 ä = 2", "a.b-c_d9:1,ä:2"),
        ("a = 1 a = 2 a { }", "a:1,a:2,a:{}"),
        ("truelike = true falsey = false null = 1", "truelike:true,falsey:false,null:1"),
        // Blocks as values.
        ("a = { b = 1, \"c\" = 2 }", "a:{b:1,c:2}"),
        ("a = { b \"c\" { d = 1 } }", "a:{b:{c:{d:1}}}"),
        ("a = [{ b = 1 }, { b = 2 }]", "a:[{b:1},{b:2}]"),
        // Lists.
        ("a = []", "a:[]"),
        ("a = [1, \"b\", true,]", "a:[1,\"b\",true]"),
        ("a = [\n1, # one\n2\n]", "a:[1,2]"),
        ("a = [,1,,2]", "a:[1,2]"),
        ("a = [[1], [2]]", "a:[[1],[2]]"),
        // Numbers.
        ("a = -5 b = 0 c = 0x1F d = 0600 e = -0x10", "a:-5,b:0,c:31,d:384,e:-16"),
        ("a = 9223372036854775807 b = -9223372036854775808", "a:9223372036854775807,b:-9223372036854775808"),
        ("a = 1.5 b = .5 c = 1e3 d = -0.1E-2 e = 09.5", "a:fraction,b:fraction,c:fraction,d:fraction,e:fraction"),
        // Texts.
        (r#"a = "" b = "x y""#, "a:\"\",b:\"x y\""),
        (r#"a = "\"\\\n\t\r""#, r#"a:"\"\\\n\t\r""#),
        (r#"a = "\a\b\f\v\101\x41\u00e9\U0001F600""#, "a:\"\\u{7}\\u{8}\\u{c}\\u{b}AAé😀\""),
        (r#"a = "\xc3\xa9""#, "a:\"é\""),
        (r##"a = "# no // comment /* here */""##, "a:\"# no // comment /* here */\""),
        (r#"a = "${b("c")} {d} $e""#, r#"a:"${b(\"c\")} {d} $e""#),
        (r#"a = "{{identity.entity.name}}/*" b = "+/x""#, "a:\"{{identity.entity.name}}/*\",b:\"+/x\""),
        // Heredocs.
        ("a = <<EOF\none\n  two\nEOF\nb = 1", "a:\"one\\n  two\\n\",b:1"),
        ("a = <<EOF\nEOF\n", "a:\"\""),
        ("a = <<EOF\r\none\r\nEOF\r\nb = 1", "a:\"one\\n\",b:1"),
        ("a = <<EOF\nEOFX\nX EOF\nEOF", "a:\"EOFX\\nX EOF\\n\""),
        ("a {\n  b = <<-EOF\n    one\n      two\n    EOF\n  c = 1\n}", "a:{b:\"one\\n  two\\n\",c:1}"),
        ("a = <<-EOF\n one\n  two\n  EOF\n", "a:\" one\\n  two\\n\""),
        ("a = [<<A\nx\nA\n, <<B\ny\nB\n]", "a:[\"x\\n\",\"y\\n\"]"),
        ("a = <<EOF\n\"${x\\n}\" # no comment\nEOF\n", "a:\"\\\"${x\\\\n}\\\" # no comment\\n\""),
    ] {
        match parse(text, DEPTH_MAX) {
            Ok(items) => assert_eq!(show(&items), shown, "{text}"),
            Err(error) => panic!("{text}\n{error:?}"),
        }
    }
}

#[test]
fn spans_cover_what_they_name() {
    let text = "path \"a/*\" {\n  capabilities = [\"read\", true]\n}\n";
    let items = parse(text, DEPTH_MAX).unwrap();
    let (path, label) = (&items[0].keys[0], &items[0].keys[1]);
    assert_eq!((&text[path.span.clone()], &text[label.span.clone()]), ("path", "\"a/*\""));
    assert_eq!(&text[items[0].value.span.clone()], "{\n  capabilities = [\"read\", true]\n}");
    let Kind::Object(inner) = &items[0].value.kind else { panic!("{items:?}") };
    assert_eq!(&text[inner[0].value.span.clone()], "[\"read\", true]");
    let Kind::List(values) = &inner[0].value.kind else { panic!("{inner:?}") };
    assert_eq!((&text[values[0].span.clone()], &text[values[1].span.clone()]), ("\"read\"", "true"));
}

#[test]
fn what_is_wrong_is_said_where_it_is() {
    const COMPUTED: &str = "a word without quotes is no value: texts stand in quotes, and nothing is computed";
    const UNIT: &str = "what starts with a digit and is no number needs quotes, such as \"90s\"";
    for (text, at, message) in [
        // Not closed: where it was opened.
        ("a {\n b = 1", 2, "the block that starts here is not closed: '}' is missing"),
        ("a { b = [1, { c = 1 }", 8, "the list that starts here is not closed: ']' is missing"),
        ("a = \"b\nc = 1", 4, "the text that starts here has no closing quote"),
        ("a = \"b", 4, "the text that starts here has no closing quote"),
        ("a = \"${b\" c = 1", 4, "the text that starts here has no closing quote"),
        ("a = 1 /* b", 6, "the comment that starts here is not closed: write */"),
        ("a = <<EOF\nb\n", 4, "the text that starts here is not closed: write EOF alone on a line"),
        ("a }", 0, "\"a\" has no value: write NAME = VALUE, or NAME { … }, texts in quotes"),
        ("a = 1\n}", 6, "'}' closes nothing: leave it out"),
        ("a = 1 ]", 6, "']', expected a name"),
        // Names and values.
        ("a", 0, "\"a\" has no value"),
        ("a \"b\" = { }", 0, "\"a\" has labels, and these stand before '{': leave the '=' out"),
        ("a =", 3, "the end of the file, expected a value"),
        ("a = }", 4, "'}', expected a value"),
        ("= 1", 0, "'=', expected a name"),
        ("{ a = 1 }", 0, "'{', expected a name"),
        ("true = 1", 0, "true, expected a name"),
        ("1 = 1", 0, "a number, expected a name"),
        (",", 0, "',', expected a name"),
        ("a = [1 2]", 7, "a number, expected ',' or ']'"),
        ("a = [1, b = 2]", 8, COMPUTED),
        // Nothing is computed.
        ("a = info", 4, COMPUTED),
        ("a = null", 4, COMPUTED),
        ("a = env(\"X\")", 4, COMPUTED),
        ("a = var.b", 4, COMPUTED),
        ("a = (1)", 4, "unexpected character '(': nothing is computed"),
        ("a = true ? 1 : 2", 9, "unexpected character '?': nothing is computed"),
        ("a = 1 + 2", 6, "unexpected character '+': nothing is computed"),
        // What other languages write.
        ("a: 1", 1, "unexpected character ':': a name and its value have '=' between them"),
        ("a = 1;", 5, "unexpected character ';'"),
        ("a = 1 ; b = 2", 6, "unexpected character ';'"),
        ("a = 'b'", 4, "unexpected character '\\'': texts stand in double quotes"),
        ("a = / b", 4, "unexpected character '/': comments start with //, # or /*"),
        ("a = \u{1b}[31m", 4, "unexpected character '\\u{1b}'"),
        ("\u{7f}ELF\0", 4, "a NUL character: this is no text"),
        // Numbers.
        ("a = 90s", 4, UNIT),
        ("a = 127.0.0.1:8200", 4, UNIT),
        ("a = 2024-01-01", 4, UNIT),
        ("a = 089", 4, "a number with a zero before it is octal"),
        ("a = 0x", 4, "a hexadecimal number has digits"),
        ("a = 9223372036854775808", 4, "the number does not fit into 64 bits"),
        // Escapes.
        (r#"a = "\d""#, 5, "an escape that HCL does not have: write \\\\ for a backslash"),
        (r#"a = "\x4""#, 5, "an escape that HCL does not have"),
        (r#"a = "\400""#, 5, "an escape that HCL does not have"),
        (r#"a = "\ud800""#, 5, "an escape that HCL does not have"),
        (r#"a = "\xff""#, 4, "the escapes in this text are no UTF-8"),
        // Heredocs.
        ("a = <EOF\nEOF\n", 4, "a text of several lines starts with <<EOF"),
        ("a = <<EOF b\nEOF\n", 4, "a text of several lines starts with <<EOF"),
        ("a = <<\n\n", 4, "a text of several lines starts with <<EOF"),
    ] {
        let error = parse(text, DEPTH_MAX).unwrap_err();
        assert!(error.at == at && error.message.starts_with(message), "{text}\n{error:?}");
    }
}

#[test]
fn no_error_shows_a_text() {
    for text in [
        "a = \"s3cret",
        "a = [\"s3cret\" \"s3cret\"]",
        "a = 1 = \"s3cret\"",
        "a \"b\" = \"s3cret\"",
        "a = \"s3cret\\q\"",
    ] {
        let error = parse(text, DEPTH_MAX).unwrap_err();
        assert!(!error.message.contains("s3cret"), "{error:?}");
    }
}

#[test]
fn nesting_is_bounded() {
    for (open, close) in [("[", "]"), ("{ a = ", " }"), ("{ a ", " }")] {
        let nested = |depth: usize| match open {
            "[" => format!("a = {}{}", open.repeat(depth), close.repeat(depth)),
            _ => format!("a = {}{{}}{}", open.repeat(depth - 1), close.repeat(depth - 1)),
        };
        assert!(parse(&nested(DEPTH_MAX), DEPTH_MAX).is_ok(), "{}", nested(DEPTH_MAX));
        for depth in [DEPTH_MAX + 1, 100_000] {
            assert_eq!(parse(&nested(depth), DEPTH_MAX).unwrap_err().message, "nested more than 8 deep", "{open}");
        }
    }
    // Labels count.
    assert!(parse(&format!("a {}{{}}", "b ".repeat(DEPTH_MAX - 1)), DEPTH_MAX).is_ok());
    for labels in [DEPTH_MAX, 100_000] {
        let error = parse(&format!("a {}{{}}", "b ".repeat(labels)), DEPTH_MAX).unwrap_err();
        assert_eq!(error.message, "nested more than 8 deep");
    }
}
