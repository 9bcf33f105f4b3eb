//! What crosses, in both directions.

use super::*;

#[test]
fn each_error_has_its_kind_and_its_text() {
    let text = || "because".to_owned();
    let rows = [
        (Error::Denied(text()), error_type::PERMISSION_DENIED, 0),
        (Error::InvalidRequest(text()), error_type::INVALID_REQUEST, 0),
        (Error::UnsupportedOperation, error_type::UNSUPPORTED_OPERATION, 0),
        (Error::UnsupportedPath, error_type::UNSUPPORTED_PATH, 0),
        (Error::NotFound(text()), error_type::CODED, 404),
        (Error::Conflict(text()), error_type::CODED, 409),
        (Error::Unavailable(text()), error_type::CODED, 503),
        (Error::Internal(text()), error_type::INTERNAL, 0),
    ];
    for (error, err_type, err_code) in rows {
        let expected = pb::ProtoError { err_type, err_msg: error.to_string(), err_code };
        assert!(proto_error(&error) == expected, "{error:?}");
    }
    let told = reply(Err(Error::InvalidRequest(text())));
    assert_eq!(told.response.unwrap().data, r#"{"error":"because"}"#);
    assert!(reply(Err(Error::Internal(text()))).response.is_none());
}

#[test]
fn nothing_to_say_is_no_response_and_everything_else_is_one() {
    assert!(reply(Ok(Response::none())).response.is_none());
    let data = |response| reply(Ok(response)).response.unwrap().data;
    assert_eq!(data(Response::none().with_warning("mind the step")), NULL);
    assert_eq!(data(Response::json(&json!({ "a": 1 })).unwrap()), r#"{"a":1}"#);
    let raw: Value = serde_json::from_str(&data(Response::raw(418, "text/tea", [0, 255]))).unwrap();
    let expected = json!({ "http_status_code": 418, "http_content_type": "text/tea", "http_raw_body": "AP8=" });
    assert_eq!(raw, expected);
    assert_eq!(reply(Ok(Response::redirect("https://a"))).response.unwrap().redirect, "https://a");
    let headers = Response::none().with_header("A", "1").with_header("B", "2").with_header("A", "3");
    assert_eq!(reply(Ok(headers)).response.unwrap().headers["A"].header, ["1", "3"]);
}

#[test]
fn internal_data_comes_back_as_it_was_given() {
    for internal in [json!({ "id": 7 }), json!("text"), json!([1]), json!(0), json!({ INTERNAL: 1, "b": 2 })] {
        let kept = wrapped(internal.clone());
        assert!(kept.starts_with('{'), "{kept}");
        assert_eq!(unwrapped(kept), internal.to_string().into_bytes());
    }
    assert_eq!(unwrapped(wrapped(Value::Null)), b"");
}

#[test]
fn a_login_keeps_all_that_it_says() {
    let login = Login {
        policies: vec!["p".into()],
        display_name: "ada".into(),
        metadata: vec![("k".into(), "v".into())],
        lease: Lease::renewable(Duration::from_millis(1_500), json!({ "id": 7 })),
        alias: Some("ada@example".into()),
        entity: Some("entity-1".into()),
        num_uses: 3,
        period: Duration::from_secs(9),
        default_policy: DefaultPolicy::LeftOut,
    };
    let auth = reply(Ok(Response::login(login))).response.unwrap().auth.unwrap();
    let lease = auth.lease_options.unwrap();
    assert_eq!((lease.ttl, lease.renewable, lease.max_ttl), (2_000_000_000, true, 0));
    assert_eq!((auth.policies, auth.display_name), (vec!["p".to_owned()], "ada".to_owned()));
    assert_eq!(auth.metadata["k"], "v");
    assert_eq!((auth.alias.unwrap().name, auth.entity_id), ("ada@example".to_owned(), "entity-1".to_owned()));
    assert_eq!((auth.num_uses, auth.period, auth.no_default_policy), (3, 9_000_000_000, true));
    assert_eq!(auth.internal_data, r#"{"id":7}"#);
}

#[test]
fn a_request_is_understood_as_vault_sends_it() {
    let asked = |operation: &str, data: &str| {
        request(pb::Request { operation: operation.into(), data: data.into(), ..pb::Request::default() })
    };
    assert_eq!(asked("read", NULL).unwrap().raw_data, b"");
    assert_eq!(asked("alias-lookahead", "{}").unwrap().operation, Operation::AliasLookahead);
    assert_eq!(asked("scan", NULL), Err(Error::UnsupportedOperation));
    let secret = pb::Secret { internal_data: "{\"id\":7}".into(), ..pb::Secret::default() };
    let renew = pb::Request { operation: "renew".into(), secret: Some(secret), ..pb::Request::default() };
    assert_eq!(request(renew).unwrap().raw_lease.as_deref(), Some(br#"{"id":7}"#.as_slice()));
}

#[test]
fn a_caller_is_who_the_host_says_and_nobody_on_an_open_path() {
    let mut metadata = MetadataMap::new();
    for policy in ["default", "readers"] {
        metadata.append(names::POLICIES, policy.parse().unwrap());
    }
    let connection = |address: &str, port| pb::Connection {
        remote_addr: address.into(),
        remote_port: port,
        ..pb::Connection::default()
    };
    let mut request = pb::Request {
        display_name: "ada".into(),
        mount_point: "m/".into(),
        connection: Some(connection("192.0.2.1", 4711)),
        ..pb::Request::default()
    };
    let Facts { mount_path, caller, .. } = facts(&metadata, Some(&mut request));
    assert_eq!((mount_path.as_str(), caller.remote_address.as_str()), ("m/", "192.0.2.1:4711"));
    assert_eq!(caller.policies, ["default", "readers"]);
    request.unauthenticated = true;
    let nobody = Caller { remote_address: "192.0.2.1:4711".into(), ..Caller::default() };
    assert_eq!(facts(&metadata, Some(&mut request)).caller, nobody);

    metadata.insert(names::MOUNT_PATH, "else/where/".parse().unwrap());
    assert_eq!(facts(&metadata, Some(&mut request)).mount_path, "else/where/");
    let rows = [("::1", 1, "[::1]:1"), ("192.0.2.1", 0, "192.0.2.1"), ("", 0, ""), ("@", 1, "@")];
    for (given, port, expected) in rows {
        assert_eq!(address(&connection(given, port)), expected);
    }
}
