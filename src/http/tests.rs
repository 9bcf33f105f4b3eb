//! The API as HTTP sees it, where the tests of one file are not enough.

use super::*;

#[test]
fn ipv4_clients_of_ipv6_sockets_are_known_by_their_own_address() {
    for (connected, seen) in [
        ("[::ffff:192.0.2.1]:7", "192.0.2.1:7"),
        ("[2001:db8::1]:7", "[2001:db8::1]:7"),
        ("192.0.2.1:7", "192.0.2.1:7"),
    ] {
        assert_eq!(canonical(connected.parse().unwrap()).to_string(), seen);
    }
}

#[cfg(feature = "process")]
mod unwrapping {
    use axum::body::Body;
    use axum::http::Request;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::system::{ServerInfo, SystemApi};

    async fn ask(host: &Host, method: &str, token: &str, body: &str) -> (u16, Value) {
        let limits = ListenerLimits::default();
        let door = Door { api: Api::new(host.clone()), limits };
        let request = Request::builder().method(method).uri("/v1/sys/wrapping/unwrap").header("x-vault-token", token);
        let request = request.body(Body::from(body.to_owned())).unwrap();
        match door.answer(request, None).await {
            Ok(response) => {
                let status = response.status().as_u16();
                let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
                (status, serde_json::from_slice(&body).unwrap())
            }
            Err(refusal) => (refusal.status().as_u16(), Value::String(refusal.message().to_owned())),
        }
    }

    #[tokio::test]
    async fn a_wrapping_token_opens_once_whoever_brings_it() {
        let host =
            Host::builder().root_token("root").system(SystemApi::new(ServerInfo::default())).build().await.unwrap();
        let data = || Map::from_iter([("ServerCert".to_owned(), json!("AA=="))]);
        let gone = || (400, json!("wrapping token is not valid or does not exist"));
        // Go's client sends the token in the header, and `null` for a body.
        for (method, header, body) in [
            ("PUT", "TOKEN", "null\n"),
            ("PUT", "TOKEN", "{}"),
            ("POST", "TOKEN", ""),
            ("PUT", "root", "{\"token\":\"TOKEN\"}"),
            ("PUT", "", "{\"token\":\"TOKEN\"}"),
        ] {
            let token = host.wrap(data());
            let (header, body) = (header.replace("TOKEN", &token), body.replace("TOKEN", &token));
            let (status, answer) = ask(&host, method, &header, &body).await;
            assert_eq!(status, 200, "{method} {header} {body}: {answer}");
            assert_eq!(answer["data"], Value::Object(data()), "{method} {header} {body}");
            assert_eq!(ask(&host, method, &header, &body).await, gone(), "{method} {header} {body}");
        }
        for (header, body) in [("", ""), ("root", "{}"), ("nobody", ""), ("", "{\"token\":\"a.b.c\"}")] {
            assert_eq!(ask(&host, "PUT", header, body).await, gone(), "{header} {body}");
        }
    }

    #[tokio::test]
    async fn nothing_else_is_done_for_strangers() {
        let host = Host::builder().system(SystemApi::new(ServerInfo::default())).build().await.unwrap();
        let token = host.wrap(Map::new());
        assert_eq!(ask(&host, "GET", &token, "").await.0, 405);
        assert_eq!(ask(&host, "DELETE", &token, "").await.0, 405);
        let large = format!("{{\"token\":\"{}\"}}", "a".repeat(16 << 10));
        assert_eq!(ask(&host, "PUT", &token, &large).await.0, 413);
        assert_eq!(ask(&host, "PUT", &token, "").await.0, 200);
    }
}
