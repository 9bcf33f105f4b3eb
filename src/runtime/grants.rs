//! What an instance may reach beside what each of its calls is lent.

use std::fmt::{self, Debug, Formatter};

/// What an instance is granted when it is made, for as long as it lives.
///
/// The interfaces that it is granted for (WASI's) name no mount, so whatever one mount is granted, every mount of the
/// instance has. Mounts share instances only if they are granted the same, which is what equality says here.
///
/// The default is nothing at all. Directories and addresses are granted to none.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Grants {
    /// The command line: the plugin's label, and the arguments that it was registered with.
    pub(crate) args: Vec<String>,
    /// The environment: names and values.
    pub(crate) env: Vec<(String, String)>,
}

impl Grants {
    /// Returns what a registration with these arguments and `KEY=value` pairs grants a plugin of this label.
    pub(crate) fn of_registration(label: &str, args: &[String], env: &[String]) -> Self {
        let pair = |pair: &String| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.to_owned(), value.to_owned())
        };
        let args = std::iter::once(label.to_owned()).chain(args.iter().cloned()).collect();
        Self { args, env: env.iter().map(pair).collect() }
    }
}

/// Arguments and variables may hold secrets, so none is shown but the names of variables.
impl Debug for Grants {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.env.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Grants").field("args", &self.args.len()).field("env", &names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_grants_its_arguments_and_variables_and_shows_no_value() {
        let (args, env) = (["-v".to_owned()], ["TOKEN=a=b".to_owned(), "EMPTY=".to_owned()]);
        let grants = Grants::of_registration("hello", &args, &env);
        assert_eq!(grants.args, ["hello", "-v"]);
        assert_eq!(grants.env, [("TOKEN".to_owned(), "a=b".to_owned()), ("EMPTY".to_owned(), String::new())]);
        assert_eq!(format!("{grants:?}"), r#"Grants { args: 2, env: ["TOKEN", "EMPTY"] }"#);
    }
}
