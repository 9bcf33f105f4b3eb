//! Auth methods: where they are mounted, who is let in, and on what terms.

use std::time::Duration;

use cofferdam::ErrorKind::{Conflict, Denied, InvalidRequest, NotFound, PluginFault};
use cofferdam::request::Operation;
use cofferdam::{MountConfig, TokenType, TtlChange, Tune};
use serde_json::{Value, json};

use crate::script::{Answer, Ask, Case, Change, Login, Step, ask, case, list, read, write};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "a login is open to everyone, and the rest of an auth method is not",
            "login",
            [
                user("auth/m", json!({ "password": "hush", "policies": ["Readers", "admins", "readers "] })),
                read("auth/m/users/ada").gives(json!({ "policies": ["Readers", "admins", "readers "], "ttl": 0 })),
                list("auth/m/users/").gives(json!({ "keys": ["ada"] })),
                read("auth/m/users/ada").by_nobody().fails(Denied, "permission denied"),
                log_in("auth/m", "hush").answers(let_in(["admins", "default", "readers"], 768 * 3600)),
                log_in("auth/m", "wrong").fails(InvalidRequest, "invalid username or password"),
                write("auth/m/login/eve", json!({ "password": "" }))
                    .by_nobody()
                    .fails(InvalidRequest, "invalid username"),
                read("auth/m/again").fails(PluginFault, "a login on a path that it does not declare open"),
            ],
        ),
        case(
            "a renewal lets in whom the method still knows",
            "login",
            [
                user("auth/m", json!({ "password": "hush", "ttl": "1h" })),
                ask(Operation::Renew, "auth/m/login/ada")
                    .with_lease(json!({ "name": "ada" }))
                    .answers(let_in(["default"], 3600)),
                ask(Operation::Renew, "auth/m/login/eve")
                    .with_lease(json!({ "name": "eve" }))
                    .fails(InvalidRequest, "user is gone"),
            ],
        ),
        case(
            "nobody is let in as root",
            "login",
            [
                user("auth/m", json!({ "password": "hush", "policies": "Root" })),
                log_in("auth/m", "hush").fails(InvalidRequest, "auth methods cannot create root tokens"),
            ],
        ),
        Case {
            config: MountConfig {
                default_lease_ttl: Some(Duration::from_secs(60)),
                max_lease_ttl: Some(Duration::from_secs(600)),
                ..MountConfig::default()
            },
            ..case(
                "a mount says how long a login is good for, and whether it can be renewed",
                "login",
                [
                    user("auth/m", json!({ "password": "hush" })),
                    log_in("auth/m", "hush").answers(let_in(["default"], 60)),
                    user("auth/m", json!({ "password": "hush", "ttl": 3600 })),
                    log_in("auth/m", "hush").answers(warned(
                        let_in(["default"], 600),
                        r#"TTL of "1h0m0s" exceeded the effective max_ttl of "10m0s"; TTL value is capped accordingly"#,
                    )),
                    Change::tune(
                        "auth/m",
                        Tune {
                            max_lease_ttl: Some(TtlChange::System),
                            token_type: Some(TokenType::Batch),
                            ..Tune::default()
                        },
                    )
                    .works(),
                    log_in("auth/m", "hush").answers(not_renewable(let_in(["default"], 3600))),
                    Step::Restart,
                    log_in("auth/m", "hush").answers(not_renewable(let_in(["default"], 3600))),
                ],
            )
        },
        case(
            "auth methods have their own places, and nobody else's",
            "login",
            [
                Change::Enable("m").fails(InvalidRequest, "cannot mount an auth method at \"m/\""),
                Change::Enable("auth").fails(Denied, "cannot mount \"auth/\""),
                Change::Enable("auth/token").fails(Denied, "cannot mount \"auth/token/\""),
                Change::Enable("auth/m").fails(Conflict, "path is already in use at m/"),
                Change::Enable("auth/m/below").fails(Conflict, "existing mount at auth/m/"),
                Change::Move("auth/m", "n").fails(InvalidRequest, "cannot remount auth mount to non-auth mount \"n/\""),
                Change::Move("auth/m", "auth/token/n").fails(InvalidRequest, "cannot remount to \"auth/token/n/\""),
                Change::Disable("auth/token").fails(InvalidRequest, "cannot unmount \"auth/token/\""),
                read("auth/token/lookup-self").fails(NotFound, "no handler for route"),
                list("auth/m/users/").gives_nothing(),
            ],
        ),
        case(
            "secrets engines have no place among auth methods",
            "probe",
            [
                Change::Enable("auth/n").fails(Denied, "cannot mount \"auth/n/\""),
                Change::Move("m", "auth/n").fails(InvalidRequest, "cannot remount to \"auth/n/\""),
                Change::tune("m", Tune { token_type: Some(TokenType::Service), ..Tune::default() })
                    .fails(InvalidRequest, "'token_type' can only be modified on auth mounts"),
                read("m/memory").gives(json!({ "reads": 1 })),
            ],
        ),
        case(
            "an auth method moves, restarts and goes as a secrets engine does",
            "login",
            [
                user("auth/m", json!({ "password": "hush" })),
                Change::Move("auth/m", "auth/else/where").works(),
                log_in("auth/m", "hush").fails(NotFound, "no handler for route"),
                log_in("auth/else/where", "hush").answers(let_in(["default"], 768 * 3600)),
                Step::Restart,
                log_in("auth/else/where", "hush").answers(let_in(["default"], 768 * 3600)),
                Change::Disable("auth/else/where").works(),
                Change::Enable("auth/else/where").works(),
                list("auth/else/where/users/").gives_nothing(),
                log_in("auth/else/where", "hush").fails(InvalidRequest, "invalid username or password"),
            ],
        ),
    ]
}

fn user(mount: &str, data: Value) -> Step {
    write(format!("{mount}/users/ada"), data).gives_nothing()
}

fn log_in(mount: &str, password: &str) -> Ask {
    write(format!("{mount}/login/ada"), json!({ "password": password })).by_nobody()
}

fn let_in<const N: usize>(policies: [&str; N], ttl: u64) -> Answer {
    let login = Login {
        policies: policies.map(str::to_owned).into(),
        display_name: "ada".to_owned(),
        metadata: vec![("username".to_owned(), "ada".to_owned())],
        alias: Some("ada".to_owned()),
        lease: (ttl, 0, true, json!({ "name": "ada" })),
    };
    Answer { login: Some(login), ..Answer::default() }
}

fn warned(answer: Answer, warning: &str) -> Answer {
    Answer { warnings: vec![warning.to_owned()], ..answer }
}

fn not_renewable(mut answer: Answer) -> Answer {
    if let Some(login) = &mut answer.login {
        login.lease.2 = false;
    }
    answer
}
