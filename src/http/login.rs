//! How a login looks to clients: Vault's `auth`, around a token that this version does not issue.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::host::TokenType;
use crate::request::Login;

/// What is said with every login. A token that is made up would be worse than none.
pub(super) const NO_TOKEN: &str =
    "the login succeeded, but this version issues no tokens yet: client_token and accessor are empty";

/// Vault's `auth`, its keys in Vault's order.
#[derive(Serialize)]
pub(super) struct LoginView<'a> {
    client_token: &'static str,
    accessor: &'static str,
    policies: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    token_policies: &'a [String],
    metadata: Option<BTreeMap<&'a str, &'a str>>,
    lease_duration: u64,
    renewable: bool,
    entity_id: &'a str,
    token_type: &'static str,
    orphan: bool,
    mfa_requirement: (),
    num_uses: u32,
}

impl<'a> LoginView<'a> {
    /// Shows a login as the host settled it, at a mount with this type of tokens.
    pub(super) fn of(login: &'a Login, token_type: TokenType) -> Self {
        let metadata: BTreeMap<_, _> =
            login.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Self {
            client_token: "",
            accessor: "",
            policies: &login.policies,
            token_policies: &login.policies,
            metadata: (!metadata.is_empty()).then_some(metadata),
            lease_duration: login.lease.ttl_seconds,
            renewable: login.lease.renewable,
            entity_id: login.entity.as_deref().unwrap_or_default(),
            token_type: match token_type {
                TokenType::DefaultService | TokenType::Service => "service",
                TokenType::DefaultBatch | TokenType::Batch => "batch",
            },
            orphan: true,
            mfa_requirement: (),
            num_uses: login.num_uses,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::request::Lease;

    fn login() -> Login {
        Login {
            policies: vec!["default".to_owned(), "readers".to_owned()],
            display_name: "ada".to_owned(),
            metadata: vec![("username".to_owned(), "ada".to_owned())],
            lease: Lease {
                ttl_seconds: 60,
                max_ttl_seconds: 0,
                renewable: true,
                internal: Bytes::from_static(b"\"hidden\""),
            },
            alias: Some("ada".to_owned()),
            entity: None,
            num_uses: 3,
            period_seconds: 0,
            no_default_policy: false,
        }
    }

    #[test]
    fn a_login_has_vaults_keys_and_no_token() {
        let expected = json!({
            "client_token": "",
            "accessor": "",
            "policies": ["default", "readers"],
            "token_policies": ["default", "readers"],
            "metadata": {"username": "ada"},
            "lease_duration": 60,
            "renewable": true,
            "entity_id": "",
            "token_type": "service",
            "orphan": true,
            "mfa_requirement": null,
            "num_uses": 3,
        });
        assert_eq!(serde_json::to_value(LoginView::of(&login(), TokenType::DefaultService)).unwrap(), expected);
    }

    #[test]
    fn a_login_may_say_little() {
        let login = Login { policies: Vec::new(), metadata: Vec::new(), ..login() };
        let shown = serde_json::to_value(LoginView::of(&login, TokenType::Batch)).unwrap();
        assert_eq!(
            (&shown["metadata"], &shown["policies"], shown.get("token_policies")),
            (&json!(null), &json!([]), None)
        );
        assert_eq!(shown["token_type"], "batch");
    }
}
