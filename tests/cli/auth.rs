//! `auth …`, and what a login prints.

use crate::{Case, check};

#[test]
fn enable_sends_the_whole_mount() {
    check(Case {
        typed: &["auth", "enable", "userpass"],
        answers: &[(204, "")],
        requests: &[concat!(
            r#"POST /v1/sys/auth/userpass {"config":{"default_lease_ttl":"0s","force_no_cache":false,"#,
            r#""max_lease_ttl":"0s","options":null},"description":"","external_entropy_access":false,"#,
            r#""local":false,"options":null,"seal_wrap":false,"type":"userpass"}"#
        )],
        stdout: "Success! Enabled userpass auth method at: userpass/\n",
        ..Case::default()
    });
    check(Case {
        typed: &[
            "auth",
            "enable",
            "-path=team/users",
            "-plugin-version=v1.0.0",
            "-token-type=batch",
            "-listing-visibility=unauth",
            "-plugin-name=login",
            "plugin",
        ],
        answers: &[(204, "")],
        requests: &[concat!(
            r#"POST /v1/sys/auth/team/users {"config":{"default_lease_ttl":"0s","force_no_cache":false,"#,
            r#""listing_visibility":"unauth","max_lease_ttl":"0s","options":null,"plugin_version":"v1.0.0","#,
            r#""token_type":"batch"},"description":"","external_entropy_access":false,"local":false,"#,
            r#""options":null,"seal_wrap":false,"type":"login"}"#
        )],
        stdout: "Success! Enabled login auth method version v1.0.0 at: team/users/\n",
        ..Case::default()
    });
    check(Case {
        typed: &["auth", "enable", "-path=token", "login"],
        answers: &[(403, r#"{"errors":["cannot mount \"auth/token/\""]}"#)],
        requests: &[concat!(
            r#"POST /v1/sys/auth/token {"config":{"default_lease_ttl":"0s","force_no_cache":false,"#,
            r#""max_lease_ttl":"0s","options":null},"description":"","external_entropy_access":false,"#,
            r#""local":false,"options":null,"seal_wrap":false,"type":"login"}"#
        )],
        stderr: "Error enabling login auth: Error making API request.\n\n\
                 URL: POST ADDRESS/v1/sys/auth/token\nCode: 403. Errors:\n\n* cannot mount \"auth/token/\"\n",
        exit: 2,
        ..Case::default()
    });
    for (typed, complaint) in [
        (&["auth", "enable"][..], "Not enough arguments (expected 1, got 0)\n"),
        (&["auth", "enable", "plugin"], "Must supply -plugin-name for an auth method of type plugin\n"),
    ] {
        check(Case { typed, stderr: complaint, exit: 1, ..Case::default() });
    }
}

#[test]
fn flags_of_secrets_engines_are_none_of_auth_methods() {
    for (typed, flag) in [
        (["auth", "enable", "-force-no-cache", "login"], "-force-no-cache"),
        (["secrets", "enable", "-token-type=batch", "hello"], "-token-type"),
        (["secrets", "tune", "-user-lockout-disable", "hello"], "-user-lockout-disable"),
    ] {
        let output = crate::program().args(typed).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(stderr, format!("flag provided but not defined: {flag}\n"), "{typed:?}");
        assert_eq!(output.status.code(), Some(1), "{typed:?}");
    }
}

#[test]
fn tune_goes_by_the_whole_path() {
    check(Case {
        typed: &["auth", "tune", "-max-lease-ttl=1h", "-token-type=default-batch", "/userpass/"],
        answers: &[(204, "")],
        requests: &[concat!(
            r#"POST /v1/sys/mounts/auth/userpass/tune {"default_lease_ttl":"","force_no_cache":false,"#,
            r#""max_lease_ttl":"1h0m0s","options":null,"token_type":"default-batch"}"#
        )],
        stdout: "Success! Tuned the auth method at: userpass/\n",
        ..Case::default()
    });
    check(Case {
        typed: &["auth", "tune", "-user-lockout-threshold=3", "-user-lockout-duration=15m", "userpass"],
        answers: &[(400, r#"{"errors":["no"]}"#)],
        requests: &[concat!(
            r#"POST /v1/sys/mounts/auth/userpass/tune {"default_lease_ttl":"","force_no_cache":false,"#,
            r#""max_lease_ttl":"","options":null,"#,
            r#""user_lockout_config":{"lockout_duration":"15m0s","lockout_threshold":"3"}}"#
        )],
        stderr: "Error tuning auth method userpass/: Error making API request.\n\n\
                 URL: POST ADDRESS/v1/sys/mounts/auth/userpass/tune\nCode: 400. Errors:\n\n* no\n",
        exit: 2,
        ..Case::default()
    });
}

/// Two auth methods as a server lists them.
const LISTED: &str = r#"{"data":{
    "userpass/":{"type":"login","accessor":"auth_login_1","description":"for people","uuid":"u","local":true,
        "config":{"default_lease_ttl":0,"max_lease_ttl":60,"force_no_cache":false,"token_type":"default-service"},
        "plugin_version":"v1.0.0","running_plugin_version":"v1.0.0","running_sha256":"ab"},
    "team/":{"type":"oidc","accessor":"auth_oidc_2","description":"","config":{"token_type":"batch"}}}}"#;

#[test]
fn list_shows_auth_methods_by_path() {
    let (answers, requests) = (&[(200, LISTED)], &["GET /v1/sys/auth"]);
    check(Case {
        typed: &["auth", "list"],
        answers,
        requests,
        stdout: "Path         Type     Accessor        Description    Version\n\
                 ----         ----     --------        -----------    -------\n\
                 team/        oidc     auth_oidc_2     n/a            n/a\n\
                 userpass/    login    auth_login_1    for people     v1.0.0\n",
        ..Case::default()
    });
    check(Case {
        typed: &["auth", "list", "-detailed"],
        answers,
        requests,
        stdout: concat!(
            "Path         Plugin    Accessor        Default TTL    Max TTL    Token Type         Replication    ",
            "Seal Wrap    External Entropy Access    Options    Description    UUID    Version    ",
            "Running Version    Running SHA256    Deprecation Status\n",
            "----         ------    --------        -----------    -------    ----------         -----------    ",
            "---------    -----------------------    -------    -----------    ----    -------    ",
            "---------------    --------------    ------------------\n",
            "team/        oidc      auth_oidc_2     system         system     batch              replicated     ",
            "false        false                      map[]      n/a            n/a     n/a        ",
            "n/a                n/a               n/a\n",
            "userpass/    login     auth_login_1    system         60         default-service    local          ",
            "false        false                      map[]      for people     u       v1.0.0     ",
            "v1.0.0             ab                n/a\n",
        ),
        ..Case::default()
    });
    check(Case {
        typed: &["auth", "list"],
        answers: &[(500, r#"{"errors":["no"]}"#)],
        requests,
        stderr: "Error listing enabled authentications: Error making API request.\n\n\
                 URL: GET ADDRESS/v1/sys/auth\nCode: 500. Errors:\n\n* no\n",
        exit: 2,
        ..Case::default()
    });
}

#[test]
fn move_goes_by_whole_paths() {
    check(Case {
        typed: &["auth", "move", "userpass", "team/users/"],
        answers: &[
            (200, r#"{"data":{"migration_id":"m1"}}"#),
            (200, r#"{"data":{"migration_info":{"status":"success"}}}"#),
        ],
        requests: &[
            r#"POST /v1/sys/remount {"from":"auth/userpass/","to":"auth/team/users/"}"#,
            "GET /v1/sys/remount/status/m1",
        ],
        stdout: "Started moving auth method userpass/ to team/users/, with migration ID m1\n\
                 Success! Finished moving auth method userpass/ to team/users/, with migration ID m1\n",
        ..Case::default()
    });
}

#[test]
fn disable_is_idempotent() {
    check(Case {
        typed: &["auth", "disable", "userpass"],
        answers: &[(204, "")],
        requests: &["DELETE /v1/sys/auth/userpass"],
        stdout: "Success! Disabled the auth method (if it existed) at: userpass/\n",
        ..Case::default()
    });
}

#[test]
fn help_is_found_by_path_or_by_type() {
    for (typed, path) in [("userpass", "userpass"), ("/team/", "team"), ("login", "userpass")] {
        check(Case {
            typed: &["auth", "help", typed],
            answers: &[(200, LISTED), (200, r#"{"help":"Lets people in.","see_also":""}"#)],
            requests: &["GET /v1/sys/auth", &format!("GET /v1/auth/{path}?help=1")],
            stdout: "Lets people in.\n",
            ..Case::default()
        });
    }
    check(Case {
        typed: &["auth", "help", "ldap"],
        answers: &[(200, LISTED)],
        requests: &["GET /v1/sys/auth"],
        stderr: "No auth method available on the server at \"ldap/\"\n",
        exit: 1,
        ..Case::default()
    });
}

#[test]
fn a_login_prints_its_token_and_terms() {
    let answer = r#"{"request_id":"r","lease_id":"","lease_duration":0,"renewable":false,"data":null,
        "warnings":["no token"],"auth":{"client_token":"","accessor":"","policies":["admins","default"],
        "token_policies":["admins","default"],"metadata":{"username":"ada"},"lease_duration":2764800,"renewable":true,
        "entity_id":"","token_type":"service","orphan":true,"mfa_requirement":null,"num_uses":0}}"#;
    let (answers, requests) = (&[(200, answer)], &[r#"PUT /v1/auth/userpass/login/ada {"password":"x"}"#]);
    let rows = concat!(
        "Key                    Value\n",
        "---                    -----\n",
        "token                  n/a\n",
        "token_accessor         n/a\n",
        "token_duration         768h\n",
        "token_renewable        true\n",
        "token_policies         [\"admins\" \"default\"]\n",
        "identity_policies      []\n",
        "policies               [\"admins\" \"default\"]\n",
        "token_meta_username    ada\n",
    );
    let whole = &["write", "auth/userpass/login/ada", "password=x"][..];
    let one = &["write", "-field=token_duration", "auth/userpass/login/ada", "password=x"];
    for (typed, stdout) in [(whole, rows), (one, "2764800")] {
        check(Case {
            typed,
            answers,
            requests,
            stdout,
            stderr: "WARNING! The following warnings were returned from Vault:\n\n  * no token\n\n",
            ..Case::default()
        });
    }
}
