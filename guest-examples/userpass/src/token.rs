//! The parameters of the tokens that logins get, under Vault's names.

use std::time::Duration;

use cofferdam_sdk::{Call, DefaultPolicy, Error, Field, Lease, Login, Renewal};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::cidr;

/// What tokens are like.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct TokenParameters {
    pub(crate) bound_cidrs: Vec<String>,
    /// Seconds, as all that follow; 0 is the mount's.
    explicit_max_ttl: u64,
    pub(crate) max_ttl: u64,
    no_default_policy: bool,
    num_uses: u32,
    period: u64,
    pub(crate) policies: Vec<String>,
    token_type: TokenType,
    pub(crate) ttl: u64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum TokenType {
    /// What the mount says.
    #[default]
    Default,
    Service,
    Batch,
}

/// Returns the fields that a write may have.
pub(crate) fn fields() -> [Field; 9] {
    [
        Field::list("token_bound_cidrs", "Blocks of IP addresses which are allowed to log in."),
        Field::duration("token_explicit_max_ttl", "A maximum lifetime that later changes do not extend."),
        Field::duration("token_max_ttl", "The maximum lifetime of the generated token"),
        Field::boolean(
            "token_no_default_policy",
            "If true, the 'default' policy will not automatically be added to generated tokens",
        ),
        Field::integer(
            "token_num_uses",
            "The maximum number of times a token may be used, a value of zero means unlimited",
        ),
        Field::duration(
            "token_period",
            "If set, tokens have no maximum lifetime, and are renewed for this long each time.",
        ),
        Field::list("token_policies", "Comma-separated list of policies"),
        Field::duration("token_ttl", "The initial ttl of the token to generate"),
        Field::string("token_type", "The type of token to generate, service or batch"),
    ]
}

impl TokenParameters {
    /// Takes over what a write says.
    pub(crate) fn update(&mut self, call: &Call) -> Result<(), Error> {
        let invalid = |text: &str| Err(Error::InvalidRequest(text.into()));
        if let Some(blocks) = list(call, "token_bound_cidrs")? {
            self.bound_cidrs = cidr::parse(&blocks)?;
        }
        for (name, seconds) in [
            ("token_explicit_max_ttl", &mut self.explicit_max_ttl),
            ("token_max_ttl", &mut self.max_ttl),
            ("token_period", &mut self.period),
            ("token_ttl", &mut self.ttl),
        ] {
            set(seconds, call.field(name)?);
        }
        set(&mut self.no_default_policy, call.field("token_no_default_policy")?);
        set(&mut self.policies, list(call, "token_policies")?);
        if let Some(number) = call.field::<Option<i64>>("token_num_uses")? {
            if number < 0 {
                return invalid("'token_num_uses' cannot be negative");
            }
            let too_large = |_| Error::InvalidRequest(format!("'token_num_uses' cannot be greater than {}", u32::MAX));
            self.num_uses = u32::try_from(number).map_err(too_large)?;
        }
        if let Some(given) = call.field::<Option<String>>("token_type")? {
            self.token_type = match given.as_str() {
                "" | "default" | "default-service" => TokenType::Default,
                "service" => TokenType::Service,
                "batch" => TokenType::Batch,
                other => return Err(Error::InvalidRequest(format!("invalid 'token_type' value {other:?}"))),
            };
        }
        if self.token_type == TokenType::Batch && self.period != 0 {
            return invalid("'token_type' cannot be 'batch' or 'default_batch' when set to generate periodic tokens");
        }
        if self.token_type == TokenType::Batch && self.num_uses != 0 {
            return invalid(
                "'token_type' cannot be 'batch' or 'default_batch' when set to generate tokens with limited use count",
            );
        }
        if self.max_ttl > 0 && self.ttl > self.max_ttl {
            return invalid("'token_ttl' cannot be greater than 'token_max_ttl'");
        }
        Ok(())
    }

    /// Returns what a read shows.
    pub(crate) fn shown(&self) -> Map<String, Value> {
        let shown = json!({
            "token_bound_cidrs": self.bound_cidrs,
            "token_explicit_max_ttl": self.explicit_max_ttl,
            "token_max_ttl": self.max_ttl,
            "token_no_default_policy": self.no_default_policy,
            "token_num_uses": self.num_uses,
            "token_period": self.period,
            "token_policies": self.policies,
            "token_ttl": self.ttl,
            "token_type": self.token_type,
        });
        match shown {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }

    /// Returns the login of a user with this name, which remembers `internal`.
    pub(crate) fn login(&self, name: &str, internal: Value) -> Login {
        // The contract has one maximum: the shorter holds, where both are set.
        let max_ttl = [self.max_ttl, self.explicit_max_ttl].into_iter().filter(|seconds| *seconds > 0).min();
        Login {
            policies: self.policies.clone(),
            display_name: name.to_owned(),
            metadata: vec![("username".to_owned(), name.to_owned())],
            lease: Lease {
                ttl: Duration::from_secs(self.ttl),
                max_ttl: Duration::from_secs(max_ttl.unwrap_or(0)),
                renewal: if self.token_type == TokenType::Batch { Renewal::Refused } else { Renewal::Allowed },
                internal,
            },
            alias: Some(name.to_owned()),
            num_uses: self.num_uses,
            period: Duration::from_secs(self.period),
            default_policy: if self.no_default_policy { DefaultPolicy::LeftOut } else { DefaultPolicy::Added },
            ..Login::default()
        }
    }
}

/// Reads a list of texts. Empty ones are left out, as Vault leaves them out of policies and blocks of addresses.
pub(crate) fn list(call: &Call, name: &str) -> Result<Option<Vec<String>>, Error> {
    let mut items: Option<Vec<String>> = call.field(name)?;
    if let Some(items) = &mut items {
        items.retain(|item| !item.is_empty());
    }
    Ok(items)
}

fn set<T>(to: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *to = given;
    }
}
