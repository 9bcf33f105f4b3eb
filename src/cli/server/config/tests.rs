//! Whole configurations, through files, as an operator meets them.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::http::ListenerLimits;

/// A directory of files to load.
struct Files(tempfile::TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        Self(directory)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Loads one file, or all of them where the name is empty. Messages name files without the directory.
    fn load(&self, name: &str, mode: Mode) -> Result<(ServerConfig, String), String> {
        let bare = |message: String| {
            let directory = self.0.path().display().to_string();
            message.replace(&format!("{directory}/"), "").replace(&directory, "DIR")
        };
        let typed = if name.is_empty() { self.0.path().to_owned() } else { self.path(name) };
        match load(&[typed], mode) {
            Ok((config, warnings)) => {
                let warnings: Vec<_> = warnings.iter().map(Problem::to_string).collect();
                Ok((config, bare(warnings.join("\n"))))
            }
            Err(error) => Err(bare(error.to_string())),
        }
    }
}

/// Loads a text as `a.hcl` in dev mode, where nothing is required.
fn load_text(hcl: &str) -> Result<(ServerConfig, String), String> {
    Files::new(&[("a.hcl", hcl)]).load("a.hcl", Mode::Dev)
}

#[track_caller]
fn check_refused(hcl: &str, message: &str) {
    match load_text(hcl) {
        Err(found) => assert_eq!(found, message, "{hcl}"),
        Ok((config, _)) => panic!("accepted: {hcl}\n{config:#?}"),
    }
}

const GOOD_HCL: &str = r#"
# A server with everything.
plugin_directory = "/opt/plugins" // both kinds
api_addr = "https://vault.example.com:8200"
log_level = "Warning"
log_format = "json"
log_file = "/var/log/cofferdam.log"
disable_mlock = true
default_lease_ttl = "1h30m"
max_lease_ttl = 86400
pid_file = "/run/cofferdam.pid"
/* of comments */
storage "file" {
  path = "./data"
}
listener "tcp" {
  address = "0.0.0.0:8200"
  tls_disable = 1
  max_request_size = 1048576
  max_request_duration = "30s"
}
listener "tcp" {
  address = ":8300"
  tls_disable = "true"
  http_read_header_timeout = "5s"
}
native_plugins {
  environment = "Clean"
  socket_directory = "/run/cofferdam"
}
limits {
  instance_memory = "32MiB"
  request_deadline = "45s"
  mount_queue = 64
  process_memory = "2GiB"
  process_cpu_seconds = 3600
  process_tasks = 500
  process_start_deadline = "10s"
}
"#;

const GOOD_JSON: &str = r#"{
  "plugin_directory": "/opt/plugins",
  "api_addr": "https://vault.example.com:8200",
  "log_level": "warn",
  "log_format": "json",
  "log_file": "/var/log/cofferdam.log",
  "disable_mlock": true,
  "default_lease_ttl": "5400s",
  "max_lease_ttl": "24h",
  "pid_file": "/run/cofferdam.pid",
  "storage": {"file": {"path": "./data"}},
  "listener": [
    {"tcp": {"address": "0.0.0.0:8200", "tls_disable": true, "max_request_size": "1MiB", "max_request_duration": 30}},
    {"tcp": {"address": "[::]:8300", "tls_disable": 1, "http_read_header_timeout": "5000ms"}}
  ],
  "native_plugins": {"environment": "clean", "socket_directory": "/run/cofferdam"},
  "limits": {"instance_memory": 33554432, "request_deadline": 45, "mount_queue": "64",
    "process_memory": 2147483648, "process_cpu_seconds": "3600", "process_tasks": 500, "process_start_deadline": 10}
}"#;

#[test]
fn hcl_and_json_say_the_same() {
    let files = Files::new(&[("a.hcl", GOOD_HCL), ("b.json", GOOD_JSON), ("c", GOOD_JSON)]);
    let (config, warnings) = files.load("a.hcl", Mode::Production).unwrap();
    assert_eq!(warnings, "");

    let limits = Limits {
        instance_memory_bytes_max: 32 << 20,
        request_deadline: Duration::from_secs(45),
        mount_queue_max: 64,
        process_memory_bytes_max: 2 << 30,
        process_cpu_seconds_max: Some(3_600),
        process_tasks_max: 500,
        process_start_deadline: Duration::from_secs(10),
        default_lease_ttl: Duration::from_secs(5_400),
        max_lease_ttl: Duration::from_secs(86_400),
        ..Limits::default()
    };
    let expected = ServerConfig {
        plugin_directory: Some("/opt/plugins".into()),
        plugins: Some(Vec::new()),
        storage: StorageConfig::File("./data".into()),
        compile_cache: Some("./data/compiled".into()),
        listeners: vec![
            ListenerConfig {
                address: ListenAddress::Tcp("0.0.0.0:8200".parse().unwrap()),
                tls: None,
                limits: ListenerLimits {
                    request_body_bytes_max: 1 << 20,
                    request_deadline: Duration::from_secs(30),
                    ..ListenerLimits::from(&limits)
                },
            },
            ListenerConfig {
                address: ListenAddress::Tcp("[::]:8300".parse().unwrap()),
                tls: None,
                limits: ListenerLimits { header_deadline: Duration::from_secs(5), ..ListenerLimits::from(&limits) },
            },
        ],
        api_addr: Some("https://vault.example.com:8200".into()),
        log_level: Some(Level::WARN),
        log_format: Some(LogFormat::Json),
        log_file: Some("/var/log/cofferdam.log".into()),
        disable_mlock: Some(true),
        native: NativeConfig { environment: PluginEnvironment::Clean, socket_directory: Some("/run/cofferdam".into()) },
        pid_file: Some("/run/cofferdam.pid".into()),
        limits,
    };
    assert_eq!(config, expected);
    assert_eq!(files.load("b.json", Mode::Production).unwrap().0, expected);
    assert_eq!(files.load("c", Mode::Production).unwrap().0, expected);
}

#[test]
fn compiled_plugins_are_kept_beside_the_store_unless_told_otherwise() {
    const NO_EFFECT: &str =
        "a.hcl:2: \"compile_cache\" has no effect: it needs a key in the storage, and that is in memory";
    let file = "storage \"file\" { path = \"/data\" }";
    let memory = "storage \"inmem\" {}";
    for (storage, setting, directory, warning) in [
        (file, "", Some("/data/compiled"), ""),
        (file, "compile_cache = true", Some("/data/compiled"), ""),
        (file, "compile_cache = \"/var/cache/c\"", Some("/var/cache/c"), ""),
        (file, "compile_cache = false", None, ""),
        (memory, "", None, ""),
        (memory, "compile_cache = false", None, ""),
        (memory, "compile_cache = \"/var/cache/c\"", None, NO_EFFECT),
        (memory, "compile_cache = true", None, NO_EFFECT),
    ] {
        let (config, warnings) = load_text(&format!("{storage}\n{setting}\n")).unwrap();
        assert_eq!((config.compile_cache, warnings.as_str()), (directory.map(PathBuf::from), warning), "{setting}");
    }
    // Nobody means a directory of that name.
    check_refused(
        "compile_cache = \"false\"",
        "a.hcl:1: \"compile_cache\" is \"false\", expected a path, or true or false without quotes",
    );
    check_refused(
        "compile_cache = 3",
        "a.hcl:1: \"compile_cache\" is the number 3, expected a path in quotes, or true or false",
    );
}

#[test]
fn blocks_have_several_spellings() {
    let one = load_text("listener \"tcp\" {\n  address = \"127.0.0.1:1\"\n  tls_disable = true\n}").unwrap();
    for same in [
        "listener \"tcp\" { address = \"127.0.0.1:1\" tls_disable = true }",
        "listener \"tcp\" { address = \"127.0.0.1:1\", tls_disable = true, }",
        "listener \"tcp\"\n{ address = \"127.0.0.1:1\" # here\ntls_disable = 1 }",
        "\"listener\" \"TCP\" { \"address\" = \"127.0.0.1:1\", \"tls_disable\" = \"T\" }",
        "listener = [{ tcp = { address = \"127.0.0.1:1\", tls_disable = true } }]",
        "listener { type = \"tcp\" address = \"127.0.0.1:1\" tls_disable = true }",
        "listener = { type = \"tcp\", address = \"127.0.0.1:1\", tls_disable = true }",
        "listener = { tcp = { address = \"127.0.0.1:1\", tls_disable = true } }",
        "listener \"tcp\" {\n  address = \"localhost:1\"\n  tls_disable = \"1\"\n}",
        "listener tcp {\n  address = \"127.0.0.1:1\"\n  tls_disable = \"True\"\n}",
        r#"{"listener": {"tcp": {"address": "127.0.0.1:1", "tls_disable": true}}}"#,
        r#"{"listener": [{"tcp": {"address": "127.0.0.1:1", "tls_disable": true}}]}"#,
        r#"{"listener": {"tcp": [{"address": "127.0.0.1:1", "tls_disable": true}]}}"#,
        r#"{"listener": [{"tcp": [{"address": "127.0.0.1:1", "tls_disable": "true"}]}]}"#,
        r#"{"listener": [{"type": "tcp", "address": "127.0.0.1:1", "tls_disable": 1}]}"#,
        r#"{"listener": {"type": "tcp", "address": "127.0.0.1:1", "tls_disable": "1"}}"#,
    ] {
        assert_eq!(load_text(same).unwrap(), one, "{same}");
    }
    let two = load_text(
        "listener tcp { address = \":1\" tls_disable = 1 } listener tcp { address = \":2\" tls_disable = 1 }",
    );
    let two = two.unwrap();
    assert_eq!(two.0.listeners.len(), 2);
    for same in [
        r#"{"listener": {"tcp": [{"address": ":1", "tls_disable": 1}, {"address": ":2", "tls_disable": 1}]}}"#,
        r#"{"listener": [{"tcp": {"address": ":1", "tls_disable": 1}}, {"tcp": {"address": ":2", "tls_disable": 1}}]}"#,
        r#"{"listener": {"tcp": {"address": ":1", "tls_disable": 1}}, "listener": {"tcp": {"address": ":2", "tls_disable": 1}}}"#,
    ] {
        assert_eq!(load_text(same).unwrap(), two, "{same}");
    }
    for memory in
        ["storage \"inmem\" {}", "storage inmem {}", "storage = { inmem = {} }", r#"{"storage": {"inmem": {}}}"#]
    {
        assert_eq!(load_text(memory).unwrap().0.storage, StorageConfig::Memory, "{memory}");
    }
    check_refused(
        "listener {\n  type = \"udp\"\n}",
        "a.hcl:1: listener \"udp\" is not supported: there are \"tcp\" and \"unix\"",
    );
}

#[test]
fn dev_requires_nothing() {
    let (config, warnings) = load(&[], Mode::Dev).unwrap();
    assert_eq!((config.storage, config.listeners, config.limits), (StorageConfig::Memory, vec![], Limits::default()));
    assert_eq!(warnings, []);
}

#[test]
fn production_requires_storage_and_a_listener() {
    let missing = "a.hcl: \"storage\" is missing\na.hcl: \"listener\" is missing";
    let refused = Files::new(&[("a.hcl", "")]).load("a.hcl", Mode::Production);
    assert_eq!(refused.unwrap_err(), missing);
    assert_eq!(load(&[], Mode::Production).unwrap_err().to_string(), missing.replace("a.hcl", "-config"));
    // A file that cannot be read may hold them.
    let refused = Files::new(&[("a.hcl", "storage \"inmem\" {}\nx = ")]).load("a.hcl", Mode::Production).unwrap_err();
    assert!(refused.starts_with("a.hcl:2: invalid HCL: ") && !refused.contains("missing"), "{refused}");
}

#[test]
fn directories_load_their_files_by_name() {
    let files = Files::new(&[
        ("2.json", r#"{"log_level": "info"}"#),
        ("1.hcl", "log_format = \"json\"\nlog_level = \"debug\""),
        ("3.txt", "not read"),
    ]);
    assert_eq!(files.load("", Mode::Dev).unwrap_err(), "2.json:1: \"log_level\" is set twice, first at 1.hcl:2");
    fs::remove_file(files.path("2.json")).unwrap();
    assert_eq!(files.load("", Mode::Dev).unwrap().0.log_format, Some(LogFormat::Json));
    fs::remove_file(files.path("1.hcl")).unwrap();
    assert_eq!(files.load("", Mode::Dev).unwrap_err(), "DIR: the directory holds no *.hcl and no *.json file");
}

#[test]
fn files_are_bounded_regular_and_utf8() {
    let files = Files::new(&[("large.hcl", &"#".repeat((1 << 20) + 1))]);
    fs::write(files.path("latin.hcl"), b"ui = false\nx = \"\xe9\"").unwrap();
    let socket = std::os::unix::net::UnixListener::bind(files.path("socket")).unwrap();
    for (name, message) in [
        ("large.hcl", "large.hcl: the configuration file is larger than 1048576 bytes"),
        ("latin.hcl", "latin.hcl:2: the configuration file is not UTF-8"),
        ("socket", "socket: the configuration file is not a regular file"),
        ("none", "none: the configuration file cannot be read: No such file or directory (os error 2)"),
    ] {
        assert_eq!(files.load(name, Mode::Dev).unwrap_err(), message);
    }
    drop(socket);
}

#[test]
fn names_are_checked() {
    check_refused("\nlisener \"tcp\" {}", "a.hcl:2: unknown setting \"lisener\", did you mean \"listener\"?");
    check_refused("zzz = 1", "a.hcl:1: unknown setting \"zzz\"");
    check_refused(
        "limits {\n  instance_memroy = 1\n}",
        "a.hcl:2: unknown setting \"instance_memroy\" in limits, did you mean \"instance_memory\"?",
    );
    check_refused(
        "listener \"tcp\" {\n  tls_disable = true\n  adress = \"x\"\n}",
        "a.hcl:3: unknown setting \"adress\" in listener \"tcp\", did you mean \"address\"?",
    );
    check_refused(
        "listener \"tcp\" {}",
        "a.hcl:1: \"tls_cert_file\" is missing in listener \"tcp\"\n\
         a.hcl:1: \"tls_key_file\" is missing in listener \"tcp\"",
    );
    check_refused("storage \"file\" {\n}", "a.hcl:1: \"path\" is missing in storage \"file\"");
    check_refused(
        "storage \"raft\" {\n  node_id = \"a\"\n}",
        "a.hcl:1: storage \"raft\" is not supported: the types are \"file\" and \"inmem\"",
    );
    check_refused("listener \"udp\" {}", "a.hcl:1: listener \"udp\" is not supported: there are \"tcp\" and \"unix\"");
}

#[test]
fn repetition_is_refused() {
    check_refused(
        "storage \"inmem\" {}\n\nstorage \"inmem\" {}",
        "a.hcl:3: \"storage\" is set twice, first at a.hcl:1",
    );
    check_refused("limits {}\nlimits {}", "a.hcl:2: \"limits\" is set twice, first at a.hcl:1");
    check_refused(
        "log_level = \"info\"\nlog_level = \"info\"",
        "a.hcl:2: \"log_level\" is set twice, first at a.hcl:1",
    );
    check_refused(
        "{\"log_level\": \"info\",\n\"log_level\": \"info\"}",
        "a.hcl:2: \"log_level\" is set twice, first at a.hcl:1",
    );
    check_refused(
        "listener \"tcp\" {\n  address = \"127.0.0.1:1\"\n  tls_disable = true\n}\n\
         listener \"tcp\" {\n  address = \"127.0.0.1:1\"\n  tls_disable = true\n}",
        "a.hcl:6: \"address\" is 127.0.0.1:1, which another listener has",
    );
}

#[test]
fn types_are_checked() {
    for (line, fragment) in [
        ("plugin_directory = 1", "is the number 1, expected a text in quotes"),
        ("plugin_directory = \"\"", "is empty"),
        (
            "log_level = true",
            "is true, expected one of \"trace\", \"debug\", \"info\", \"notice\", \"warn\", \"warning\", \"error\", \"err\"",
        ),
        ("log_format = \"xml\"", "is \"xml\", expected one of \"standard\", \"json\""),
        ("max_lease_ttl = []", "is a list, expected a duration such as \"1h30m\", or a number of seconds"),
        (
            "max_lease_ttl = 1.5",
            "is a number that is not whole, expected a duration such as \"1h30m\", or a number of seconds",
        ),
        ("max_lease_ttl = \"1 hour\"", "is \"1 hour\", expected a duration such as \"1h30m\", or a number of seconds"),
        ("max_lease_ttl = 0", "is zero, expected a longer duration"),
        ("api_addr = \"vault:8200\"", "is \"vault:8200\", expected a URL such as \"https://vault.example.com:8200\""),
        ("storage = \"file\"", "is a text, expected a stanza"),
        ("storage = []", "is an empty list, expected a stanza"),
        ("storage {}", "needs a type before its settings: storage \"TYPE\" { … }"),
        ("limits = 3", "is the number 3, expected a stanza"),
    ] {
        let name = line.split(' ').next().unwrap();
        check_refused(line, &format!("a.hcl:1: {name:?} {fragment}"));
    }
    for (line, fragment) in [
        ("instance_memory = \"64 XB\"", "is \"64 XB\", expected a size such as \"64MiB\", or a number of bytes"),
        ("instance_memory = \"MiB\"", "is \"MiB\", expected a size such as \"64MiB\", or a number of bytes"),
        ("instance_memory = 0", "is zero, expected more"),
        ("instance_memory = \"99999999999GiB\"", "is too large"),
        ("instances = 4294967296", "is too large"),
        ("instances = \"-1\"", "is \"-1\", expected a whole number above zero"),
        ("request_deadline = \"-1s\"", "is \"-1s\", which is negative"),
    ] {
        let name = line.split(' ').next().unwrap();
        check_refused(&format!("limits {{\n{line}\n}}"), &format!("a.hcl:2: {name:?} {fragment}"));
    }
    check_refused(
        "listener \"tcp\" {\n  address = \"vault:8200\"\n  tls_disable = \"yes\"\n}",
        "a.hcl:2: \"address\" is \"vault:8200\", expected an IP address with a port, such as \"127.0.0.1:8200\"\n\
         a.hcl:3: \"tls_disable\" is \"yes\", expected true or false",
    );
}

#[test]
fn what_native_plugins_are_given_is_checked() {
    assert_eq!(load_text("native_plugins {}").unwrap().0.native, NativeConfig::default());
    let long = format!("/{}", "a".repeat(64));
    for (line, fragment) in [
        ("environment = true", "is true, expected one of \"inherit\", \"clean\""),
        ("environment = \"none\"", "is \"none\", expected one of \"inherit\", \"clean\""),
        ("socket_directory = \"run\"", "is \"run\", expected a path that starts with '/'"),
        (&format!("socket_directory = {long:?}"), "has 65 bytes, at most 64 leave room for a socket's path"),
    ] {
        let name = line.split(' ').next().unwrap();
        check_refused(&format!("native_plugins {{\n{line}\n}}"), &format!("a.hcl:2: {name:?} {fragment}"));
    }
    check_refused(
        "native_plugins {\n  enviroment = \"clean\"\n}",
        "a.hcl:2: unknown setting \"enviroment\" in native_plugins, did you mean \"environment\"?",
    );
    check_refused("native_plugins {}\nnative_plugins {}", "a.hcl:2: \"native_plugins\" is set twice, first at a.hcl:1");
}

#[test]
fn settings_agree_with_each_other() {
    check_refused(
        "default_lease_ttl = \"2h\"\nmax_lease_ttl = \"1h\"",
        "a.hcl:2: \"max_lease_ttl\" is 1h0m0s, shorter than \"default_lease_ttl\", which is 2h0m0s",
    );
    check_refused(
        "default_lease_ttl = \"769h\"",
        "a.hcl:1: \"max_lease_ttl\" is 768h0m0s, shorter than \"default_lease_ttl\", which is 769h0m0s",
    );
    check_refused(
        "listener \"tcp\" {\n  tls_disable = true\n  max_request_size = \"1GiB\"\n  max_request_duration = \"2m\"\n}",
        "a.hcl:3: \"max_request_size\" exceeds limits.request_body: 33554432\n\
         a.hcl:4: \"max_request_duration\" exceeds limits.request_deadline: 1m30s",
    );
}

#[test]
fn only_literals_are_accepted() {
    for value in ["env(\"LEVEL\")", "info", "var.level", "null"] {
        let message =
            "a.hcl:1: invalid HCL: a word without quotes is no value: texts stand in quotes, and nothing is computed";
        check_refused(&format!("log_level = {value}\n"), message);
        // And its setting is not called missing.
        check_refused(&format!("storage \"file\" {{\n  path = {value}\n}}\n"), &message.replace(":1:", ":2:"));
    }
    check_refused("{\"plugin_directory\": null}", "a.hcl:1: \"plugin_directory\" is null, expected a text in quotes");
    // Vault takes the text as it stands, which nobody means.
    let (config, warnings) = load_text("plugin_directory = \"${HOME}/plugins\"").unwrap();
    assert_eq!(config.plugin_directory, Some("${HOME}/plugins".into()));
    assert_eq!(warnings, "a.hcl:1: \"${…}\" is taken as it stands: nothing is filled in");
}

#[test]
fn syntax_errors_tell_the_line() {
    for (text, start) in [
        ("a = 1\nb = [", "a.hcl:2: invalid HCL: "),
        (
            "listener \"tcp\" {\n  address = \":1\"\n\n",
            "a.hcl:1: invalid HCL: the block that starts here is not closed",
        ),
        ("ui = false\nui = false\nlog_level: \"info\"", "a.hcl:3: invalid HCL: unexpected character ':'"),
        ("\u{7f}ELF\u{2}\0\0", "a.hcl:1: invalid HCL: a NUL character: this is no text"),
        ("{\n\"ui\": true,\n}", "a.hcl:3: invalid JSON: key must be a string"),
        ("{\n\"ui\": true // no\n}", "a.hcl:2: invalid JSON: "),
        ("{\n\"ui\": true \"x\": 1\n}", "a.hcl:2: invalid JSON: "),
        ("{}\n{}", "a.hcl:2: invalid JSON: trailing characters"),
        ("{\"ui\":\n\"\\ud800\"}", "a.hcl:2: invalid JSON: "),
    ] {
        let refused = load_text(text).unwrap_err();
        assert!(refused.starts_with(start) && !refused.contains('\n'), "{text}\n{refused}");
    }
}

#[test]
fn nesting_is_bounded() {
    let json = format!("{{\"a\":\n{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    check_refused(&json, "a.hcl:2: nested more than 32 deep");
    let hcl = format!("limits = {}{}", "[".repeat(50), "]".repeat(50));
    check_refused(&hcl, "a.hcl:1: invalid HCL: nested more than 32 deep");
    check_refused(&format!("limits {} {{}}", "a ".repeat(100_000)), "a.hcl:1: invalid HCL: nested more than 32 deep");
    for hostile in ["[", "a = [", "a {\n", "a = {\n", "a = \"${", "a = (", "a = !!", "a b "] {
        let message = load_text(&hostile.repeat(20_000)).unwrap_err();
        assert!(message.starts_with("a.hcl:"), "{message}");
    }
}

#[test]
fn no_torn_file_panics_or_fails_without_a_reason() {
    for whole in [GOOD_HCL, GOOD_JSON] {
        let files = Files::new(&[]);
        for end in (0..whole.len()).filter(|end| whole.is_char_boundary(*end)) {
            fs::write(files.path("a.hcl"), &whole[..end]).unwrap();
            if let Err(message) = files.load("a.hcl", Mode::Production) {
                assert!(message.starts_with("a.hcl"), "{end}: {message:?}");
            }
        }
    }
}

#[test]
fn every_problem_is_told_up_to_a_limit() {
    let text: String = (0..23).map(|index| format!("x{index} = 1\n")).collect();
    let refused = load_text(&text).unwrap_err();
    let lines: Vec<_> = refused.lines().collect();
    assert_eq!(lines.len(), 21);
    assert_eq!((lines[0], lines[20]), ("a.hcl:1: unknown setting \"x0\"", "and 3 more"));
}

#[test]
fn settings_of_vault_are_warned_of_or_refused() {
    let (_, warnings) = load_text("ui = true\ncluster_addr = \"https://a:8201\"\ndisable_cache = false").unwrap();
    assert_eq!(
        warnings,
        "a.hcl:1: \"ui\" has no effect: there is no web interface\n\
         a.hcl:2: \"cluster_addr\" has no effect: this server runs alone\n\
         a.hcl:3: \"disable_cache\" has no effect: storage is not cached"
    );
    let (_, warnings) = load_text("listener \"tcp\" {\n  tls_disable = true\n  tls_key_file = \"k\"\n}").unwrap();
    assert_eq!(warnings, "a.hcl:3: \"tls_key_file\" has no effect: TLS is disabled");
    // What describes this server needs no words.
    let (_, warnings) = load_text("ui = false\ndisable_cache = true\nraw_storage_endpoint = \"false\"").unwrap();
    assert_eq!(warnings, "");
    check_refused(
        "seal \"transit\" {\n  token = \"s3cret\"\n}\nraw_storage_endpoint = true\ntelemetry {}",
        "a.hcl:1: \"seal\" is not supported: this server has no seal\n\
         a.hcl:4: \"raw_storage_endpoint\" is not supported: storage is reached through mounts only\n\
         a.hcl:5: \"telemetry\" is not supported: metrics are not sent anywhere",
    );
    check_refused(
        "listener \"tcp\" {\n  tls_disable = true\n  tls_require_and_verify_client_cert = true\n}",
        "a.hcl:3: \"tls_require_and_verify_client_cert\" is not supported: clients are not asked for certificates",
    );
}

#[test]
fn certificates_are_checked_before_anything_opens() {
    let files = Files::new(&[("junk.pem", "junk")]);
    for name in ["a", "b"] {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(files.path(&format!("{name}.crt")), made.cert.pem()).unwrap();
        fs::write(files.path(&format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
    }
    let load = |certificate: &str, key: &str| {
        let [certificate, key] = [certificate, key].map(|name| match name.strip_prefix('~') {
            Some(relative) => relative.to_owned(),
            None => files.path(name).display().to_string(),
        });
        let listener = "listener \"tcp\" {\n  tls_min_version = \"tls13\"";
        let text = format!("{listener}\n  tls_cert_file = {certificate:?}\n  tls_key_file = {key:?}\n}}");
        fs::write(files.path("a.hcl"), text).unwrap();
        files.load("a.hcl", Mode::Dev)
    };
    let (config, _) = load("a.crt", "a.key").unwrap();
    let tls = config.listeners[0].tls.clone().unwrap();
    assert_eq!((tls.cert_file, tls.version_min), (files.path("a.crt"), TlsVersion::Tls13));
    for (certificate, key, message) in [
        ("a.crt", "b.key", "a.hcl:4: \"tls_key_file\" is \"b.key\", which is not the key of \"a.crt\""),
        ("~a.crt", "a.key", "a.hcl:3: \"tls_cert_file\" is \"a.crt\", expected a path that starts with '/'"),
        ("junk.pem", "a.key", "a.hcl:3: \"tls_cert_file\" is \"junk.pem\", which holds no certificate in PEM"),
        (
            "none",
            "junk.pem",
            "a.hcl:3: \"tls_cert_file\" is \"none\", which cannot be read: No such file or directory (os error 2)\n\
             a.hcl:4: \"tls_key_file\" is \"junk.pem\", which holds no unencrypted private key in PEM",
        ),
    ] {
        assert_eq!(load(certificate, key).unwrap_err(), message);
    }
}

#[test]
fn plugins_are_declared_in_either_spelling() {
    let digest = "ab".repeat(32);
    let hcl = format!(
        r#"
plugin "secret" "kv" {{
  command   = "kv-1"
  version   = "1.0"
  sha256sum = "{digest}"
  args      = ["-x", ""]
  env       = ["A=b,c"]
}}
plugin "secret" "kv" {{
  version   = "v2.0.0"
  sha256sum = "{digest}"
}}
plugin "auth" "userpass" {{
  sha256sum = "{digest}"
}}
"#
    );
    let json = format!(
        r#"{{"plugin": {{
            "secret": {{"kv": [
                {{"command": "kv-1", "version": "1.0", "sha256sum": "{digest}", "args": ["-x", ""], "env": ["A=b,c"]}},
                {{"version": "v2.0.0", "sha256sum": "{digest}"}}
            ]}},
            "auth": {{"userpass": {{"sha256sum": "{digest}"}}}}
        }}}}"#
    );
    let files = Files::new(&[("a.hcl", &hcl), ("b.json", &json)]);
    for name in ["a.hcl", "b.json"] {
        let (config, warnings) = files.load(name, Mode::Dev).unwrap();
        assert_eq!(warnings, "");
        let said: Vec<_> = config.plugins.unwrap().into_iter().map(|block| block.registration).collect();
        assert_eq!(said.len(), 3, "{name}");
        let shown = |at: usize| {
            let plugin = &said[at];
            let version = plugin.version.as_ref().map(ToString::to_string).unwrap_or_default();
            (
                plugin.kind.unwrap().as_str(),
                plugin.name.to_string(),
                plugin.launch.source.command().unwrap().to_string(),
                version,
            )
        };
        let expected = |kind, name: &str, command: &str, version: &str| {
            (kind, name.to_owned(), command.to_owned(), version.to_owned())
        };
        assert_eq!(shown(0), expected("secret", "kv", "kv-1", "v1.0.0"), "{name}");
        assert_eq!(shown(1), expected("secret", "kv", "kv", "v2.0.0"), "{name}");
        assert_eq!(shown(2), expected("auth", "userpass", "userpass", ""), "{name}");
        assert_eq!(
            (&said[0].launch.args[..], &said[0].launch.env[..]),
            (&["-x".to_owned(), String::new()][..], &["A=b,c".to_owned()][..])
        );
        assert_eq!(said[0].launch.source.sha256().unwrap().to_string(), digest);
    }
}

#[test]
fn a_declaration_that_cannot_be_meant_is_named() {
    let digest = "ab".repeat(32);
    for (block, message) in [
        ("plugin \"secret\" \"kv\" {}".to_owned(), "a.hcl:1: \"sha256sum\" is missing in plugin \"secret\" \"kv\""),
        (
            "plugin \"secret\" { command = \"kv\" }".to_owned(),
            "a.hcl:1: \"plugin\" needs a type and a name before its settings: plugin \"TYPE\" \"NAME\" { … }",
        ),
        (
            format!("plugin \"kms\" \"x\" {{ sha256sum = \"{digest}\" }}"),
            "a.hcl:1: plugin \"kms\" is not supported: the types are \"auth\" and \"secret\"",
        ),
        (
            format!("plugin \"secret\" \"kv\" {{\n sha256sum = \"{digest}\"\n env = \"A=b\"\n}}"),
            "a.hcl:3: \"env\" is a text, expected a list of texts",
        ),
        (
            format!("plugin \"secret\" \"kv\" {{\n sha256sum = \"{digest}\"\n command = \"../kv\"\n}}"),
            "a.hcl:3: \"command\" is no good: ",
        ),
        (
            format!("plugin \"secret\" \"kv\" {{ sha256sum = \"{digest}\" }}\n").repeat(2),
            "a.hcl:2: plugin \"secret\" \"kv\" is declared twice in one version, first at a.hcl:1",
        ),
        (
            format!("plugin \"secret\" \"kv\" {{\n sha256sum = \"{digest}\"\n image = \"x/y\"\n}}"),
            "a.hcl:3: \"image\" is not supported: ",
        ),
    ] {
        match load_text(&block) {
            Err(found) => assert!(found.starts_with(message), "{block}: {found}"),
            Ok(_) => panic!("accepted: {block}"),
        }
    }
    let (config, warnings) =
        load_text(&format!("plugin_auto_register = false\nplugin \"secret\" \"kv\" {{ sha256sum = \"{digest}\" }}"))
            .unwrap();
    assert_eq!(config.plugins, None);
    assert_eq!(warnings, "a.hcl:1: the plugin blocks have no effect: \"plugin_auto_register\" is false");
}
