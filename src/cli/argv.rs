//! Go's flags for clap: Vault's long flags take one dash (`-sha256=…`, `-env REGION=eu`), clap's take two.
//!
//! What follows a flag depends on the flag: `-detailed PATH` is a flag and an argument, `-default-lease-ttl -1s` a flag
//! and its value. So the command line is read along clap's own definition of the commands, and each value is tied to
//! its flag with `=`.

use clap::{Arg, ArgAction, Command};

/// Returns the arguments as clap takes them. The first one is the program's name.
pub(super) fn normalise(root: &Command, arguments: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut arguments = arguments.into_iter();
    let mut normal: Vec<String> = arguments.next().into_iter().collect();
    let mut command = root;
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            normal.push(argument);
            break;
        }
        let Some(flag) = Flag::parse(&argument) else {
            command = command.find_subcommand(&argument).unwrap_or(command);
            normal.push(argument);
            continue;
        };
        match flag.find(command).or_else(|| flag.find(root)) {
            Some(known) if takes_value(known) && flag.value.is_none() => match arguments.next() {
                Some(value) => normal.push(format!("{}={value}", flag.dashed())),
                None => normal.push(flag.dashed()),
            },
            Some(known) if !takes_value(known) => match flag.value {
                Some("true" | "t" | "1") | None => normal.push(flag.dashed()),
                Some("false" | "f" | "0") => {}
                Some(_) => normal.push(flag.dashed_with_value()),
            },
            _ => normal.push(flag.dashed_with_value()),
        }
    }
    normal.extend(arguments);
    normal
}

/// One argument that is a flag, taken apart.
struct Flag<'a> {
    name: &'a str,
    value: Option<&'a str>,
}

impl<'a> Flag<'a> {
    /// Returns none for what is no flag: a word, or a lone `-`, which stands for standard input.
    fn parse(argument: &'a str) -> Option<Self> {
        let text = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-'))?;
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        (!name.is_empty()).then_some(Self { name, value })
    }

    fn find<'c>(&self, command: &'c Command) -> Option<&'c Arg> {
        let short = self.short();
        command
            .get_arguments()
            .find(|arg| arg.get_long() == Some(self.name) || (short.is_some() && arg.get_short() == short))
    }

    fn short(&self) -> Option<char> {
        let mut letters = self.name.chars();
        letters.next().filter(|_| letters.next().is_none())
    }

    fn dashed(&self) -> String {
        let dashes = if self.short().is_some() { "-" } else { "--" };
        format!("{dashes}{}", self.name)
    }

    fn dashed_with_value(&self) -> String {
        match self.value {
            Some(value) => format!("{}={value}", self.dashed()),
            None => self.dashed(),
        }
    }
}

fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(typed: &str, expected: &str) {
        let root = Command::new("cofferdam").arg(Arg::new("address").long("address").global(true)).subcommand(
            Command::new("write")
                .arg(Arg::new("force").long("force").short('f').action(ArgAction::SetTrue))
                .arg(Arg::new("env").long("env").action(ArgAction::Append))
                .arg(Arg::new("ttl").long("ttl"))
                .arg(Arg::new("arguments").action(ArgAction::Append)),
        );
        let words = std::iter::once("cofferdam").chain(typed.split(' ')).map(str::to_owned);
        assert_eq!(normalise(&root, words)[1..].join(" "), expected, "{typed}");
    }

    #[test]
    fn long_flags_take_one_dash_or_two() {
        check("write -env=A=b -ttl=1h p", "write --env=A=b --ttl=1h p");
        check("write --env=A=b p", "write --env=A=b p");
        check("write -address=http://x p", "write --address=http://x p");
        check("-address http://x write p", "--address=http://x write p");
        check("write -unknown=1 -help p", "write --unknown=1 --help p");
    }

    #[test]
    fn values_are_tied_to_their_flag() {
        check("write -env A=b -env C=d p", "write --env=A=b --env=C=d p");
        check("write -ttl -1s p", "write --ttl=-1s p");
        check("write p -ttl", "write p --ttl");
    }

    #[test]
    fn switches_take_no_value_from_the_next_argument() {
        check("write -f p", "write -f p");
        check("write p -force", "write p --force");
        check("write -force=true p", "write --force p");
        check("write -force=false p", "write p");
        check("write -force=maybe p", "write --force=maybe p");
    }

    #[test]
    fn arguments_stay_as_they_are() {
        check("write p - a=-b k=-", "write p - a=-b k=-");
        check("write p -- -env x", "write p -- -env x");
        check("write p @file", "write p @file");
    }
}
