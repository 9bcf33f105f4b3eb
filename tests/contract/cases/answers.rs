//! How plugins answer, and how they decline.

use cofferdam::ErrorKind::{
    self, Conflict, Denied, Internal, InvalidRequest, NotFound, PluginFault, Unavailable, UnsupportedOperation,
};
use cofferdam::request::Operation;
use cofferdam::{MountConfig, Tune};
use serde_json::json;

use crate::script::{Answer, Body, Case, Change, Step, ask, case, read};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "an answer comes as it was given",
            "probe",
            [
                read("m/say/nothing").gives_nothing(),
                read("m/say/raw").answers(Answer {
                    body: Body::Raw(418, "text/tea".into(), b"short and stout".into()),
                    ..Answer::default()
                }),
                read("m/say/redirect").fails(PluginFault, "a redirect, which only an auth method may"),
                read("m/say/warning").answers(Answer { warnings: vec!["mind the step".into()], ..said("warning") }),
                read("m/say/lease")
                    .answers(Answer { lease: Some((60, 120, true, json!({ "id": 7 }))), ..said("lease") }),
            ],
        ),
        Case {
            config: MountConfig { allowed_response_headers: vec!["x-allowed".into()], ..MountConfig::default() },
            ..case(
                "only allowed response headers are passed on",
                "probe",
                [
                    read("m/say/headers").answers(Answer { headers: header("X-Allowed", "yes"), ..said("headers") }),
                    Change::tune("m", Tune { allowed_response_headers: Some(vec![]), ..Tune::default() }).works(),
                    read("m/say/headers").answers(said("headers")),
                ],
            )
        },
        case("each error has its kind", "probe", refusals()),
        case(
            "a lease comes back with its renewal and its end",
            "probe",
            [renewal(Operation::Renew, "renew"), renewal(Operation::Revoke, "revoke")],
        ),
        case(
            "a plugin helps",
            "probe",
            [
                ask(Operation::Help, "m/kv/a").gives(json!({ "help": "about \"kv/a\"", "see_also": "" })),
                ask(Operation::Help, "m/").gives(json!({ "help": "about \"\"", "see_also": "" })),
            ],
        ),
    ]
}

fn said(what: &str) -> Answer {
    Answer { body: Body::Data(json!({ "said": what })), ..Answer::default() }
}

fn header(name: &str, value: &str) -> Vec<(String, String)> {
    vec![(name.into(), value.into())]
}

fn renewal(operation: Operation, name: &str) -> Step {
    let internal = json!({ "id": 7 });
    ask(operation, "m/say/lease").with_lease(internal.clone()).gives(json!({ "operation": name, "lease": internal }))
}

fn refusals() -> Vec<Step> {
    let rows: [(&str, ErrorKind, &str); 8] = [
        ("denied", Denied, "because of denied"),
        ("invalid", InvalidRequest, "because of invalid"),
        ("operation", UnsupportedOperation, "unsupported operation"),
        ("path", NotFound, "unsupported path"),
        ("not-found", NotFound, "because of not-found"),
        ("conflict", Conflict, "because of conflict"),
        ("unavailable", Unavailable, "because of unavailable"),
        ("internal", Internal, "because of internal"),
    ];
    // The instance lives on after each.
    let refused = rows.into_iter().enumerate().flat_map(|(at, (how, kind, text))| {
        [read(format!("m/fail/{how}")).fails(kind, text), read("m/memory").gives(json!({ "reads": at + 1 }))]
    });
    refused.collect()
}
