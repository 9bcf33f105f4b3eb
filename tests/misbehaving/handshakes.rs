//! What a plugin can do instead of shaking hands: registration says what it did, and nothing of it is left.

use std::os::unix::net::UnixListener;
use std::time::Duration;

use cofferdam::{ErrorKind, Limits};
use futures_util::future::join_all;

use crate::processes;
use crate::stage::{Plugin, Stage, check_refused, limits};

/// Text of the length of a certificate that is none.
const NO_CERTIFICATE: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Of a certificate for `localhost`, so that only what comes after it goes wrong.
fn certificate() -> String {
    use base64::Engine as _;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate can be made");
    base64::engine::general_purpose::STANDARD_NO_PAD.encode(made.cert.der())
}

/// Scripts, and what registration says of them.
fn rows() -> Vec<(&'static str, String, Vec<&'static str>)> {
    let certificate = certificate();
    let shakes = |line: &str| format!("echo '{line}'; exec sleep 600");
    let grpc = |rest: &str| shakes(&format!("1|5|unix|/nowhere/socket|grpc|{rest}"));
    let row = |name, script: String, phrases: &[&'static str]| (name, script, phrases.to_vec());
    vec![
        row(
            "a wrong cookie",
            "echo 'This binary is a plugin. These are not meant to be executed directly.' >&2
             echo 'Please execute the program that consumes these plugins, which will' >&2
             echo 'load any plugins automatically' >&2; exit 1"
                .to_owned(),
            &[
                "plugin exited before we could connect: its process exited with status 1",
                "It is a plugin of another kind, such as a database",
                "load any plugins automatically",
            ],
        ),
        row(
            "text first",
            format!("echo hello; {}", grpc(&certificate)),
            &["Unrecognized remote plugin message: \"hello\"", "prints its handshake before anything else"],
        ),
        row(
            "an empty line first",
            format!("echo; {}", grpc(&certificate)),
            &["Unrecognized remote plugin message: \"\""],
        ),
        row(
            "two handshake lines, to nowhere",
            format!("echo '1|5|unix|/the/first|grpc|{certificate}'; {}", grpc(&certificate)),
            &["listens at \"/the/first\"", "cannot be reached there", "No such file or directory"],
        ),
        row(
            "a huge line",
            "head -c 1000000 /dev/zero | tr '\\0' x; echo; exec sleep 600".to_owned(),
            &["Unrecognized remote plugin message: \"xxxxxx"],
        ),
        row(
            "an endless line",
            "exec tr '\\0' x < /dev/zero".to_owned(),
            &["Unrecognized remote plugin message: \"xxxxxx"],
        ),
        row("bytes", "head -c 100 /dev/urandom; printf '\\033[2J\\n'; exec sleep 600".to_owned(), &["Unrecognized"]),
        row(
            "half a line, and an end",
            "printf 'half a line'".to_owned(),
            &["Unrecognized remote plugin message: \"half a line\"", "Then its process exited with status 0"],
        ),
        row(
            "half a line, and nothing",
            "printf '1|5|unix|'; echo 'I am tired' >&2; exec sleep 600".to_owned(),
            &["timeout while waiting for plugin to start: no handshake within 3s", "I am tired"],
        ),
        row(
            "tcp",
            shakes(&format!("1|5|tcp|127.0.0.1:1234|grpc|{certificate}")),
            &["listens on \"tcp\" at \"127.0.0.1:1234\"", "takes Unix sockets only"],
        ),
        row("net/rpc", shakes("1|5|unix|/nowhere/socket|netrpc|"), &["unsupported plugin protocol \"netrpc\""]),
        row(
            "before there were protocols",
            shakes("1|5|unix|/nowhere/socket"),
            &["unsupported plugin protocol \"netrpc\""],
        ),
        row(
            "another go-plugin",
            shakes(&format!("2|5|unix|/nowhere/socket|grpc|{certificate}")),
            &["incompatible core API version with plugin. Plugin version: 2, Core version: 1"],
        ),
        row(
            "another protocol",
            shakes(&format!("1|7|unix|/nowhere/socket|grpc|{certificate}")),
            &["incompatible API version with plugin. Plugin version: 7"],
        ),
        row("no certificate", grpc(""), &["the plugin's handshake has no certificate"]),
        row("a certificate that is no base64", grpc(&"*".repeat(60)), &["error parsing server cert"]),
        row("a certificate that is none", grpc(NO_CERTIFICATE), &["cannot be reached there"]),
        row("no socket", grpc(&certificate), &["listens at \"/nowhere/socket\"", "No such file or directory"]),
        row(
            "no socket's name",
            shakes(&format!("1|5|unix||grpc|{certificate}")),
            &["listens at \"\"", "cannot be reached there"],
        ),
        row(
            "a handshake, and an end",
            format!("echo 'so long' >&2; echo '1|5|unix|/nowhere/socket|grpc|{certificate}'; exit 5"),
            &["listens at \"/nowhere/socket\"", "its process exited with status 5", "so long"],
        ),
        row(
            "an end",
            "echo 'all is well' >&2; exit 0".to_owned(),
            &["plugin exited before we could connect: its process exited with status 0", "all is well"],
        ),
        row("a silent end", "exit 3".to_owned(), &["its process exited with status 3", "It printed nothing"]),
        row("a kill", "echo adieu >&2; kill -9 $$".to_owned(), &["was killed by signal 9 (SIGKILL)", "adieu"]),
        row("a crash", "kill -SEGV $$".to_owned(), &["was killed by signal 11 (SIGSEGV)"]),
        row(
            "silence",
            "exec sleep 600".to_owned(),
            &["timeout while waiting for plugin to start: no handshake within 3s", "It printed nothing"],
        ),
        row(
            "a closed output",
            "exec >&-; echo 'nothing to say' >&2; exec sleep 600".to_owned(),
            &["the plugin closed its output without a handshake", "nothing to say"],
        ),
        row(
            "a fork that stays",
            "sleep 600 & echo 'now in the background' >&2; exit 0".to_owned(),
            &["its process exited with status 0", "now in the background"],
        ),
        row(
            "a fork that shakes hands",
            format!("(echo '1|5|unix|/nowhere/socket|grpc|{certificate}'; exec sleep 600) & exit 0"),
            &["its process exited with status 0"],
        ),
        row("no arguments", "exec sleep".to_owned(), &["exited with status 1", "sleep"]),
    ]
}

fn impatient() -> Limits {
    Limits { process_start_deadline: Duration::from_secs(3), ..limits() }
}

#[tokio::test]
async fn registration_says_what_came_instead_of_a_handshake() {
    let stage = Stage::set_with(impatient(), |_| ()).await;
    let rows = rows();
    let all = join_all(rows.iter().enumerate().map(|(number, (_, script, _))| {
        let stage = &stage;
        async move { stage.register(&format!("bad-{number}"), &Plugin::script(script)).await }
    }));
    let (outcomes, ()) = tokio::join!(all, stage.neighbour_answers());
    for ((name, _, phrases), outcome) in rows.iter().zip(outcomes) {
        check_refused(name, outcome, ErrorKind::InvalidRequest, phrases);
    }
    assert_eq!(stage.host.plugins().len(), 1, "only the neighbour is in the catalog");
    stage.no_other_is_left().await;
    stage.end().await;
}

#[tokio::test]
async fn a_socket_where_nobody_speaks_tls_is_given_up() {
    let stage = Stage::set_with(impatient(), |_| ()).await;
    let certificate = certificate();
    let bind = |name: &str| UnixListener::bind(stage.scratch(name)).expect("a socket can be bound");
    let script = |name: &str| {
        let path = stage.scratch(name).display().to_string();
        Plugin::script(&format!("echo '1|5|unix|{path}|grpc|{certificate}'; exec sleep 600"))
    };
    // The kernel accepts, and nobody ever reads.
    let _silent = bind("silent");
    let plugin = script("silent");
    let (silent, ()) = tokio::join!(stage.register("silent", &plugin), stage.neighbour_answers());
    check_refused("silent", silent, ErrorKind::InvalidRequest, &["cannot be reached there: no answer within 3s"]);

    for (name, answer) in [("rude", &b""[..]), ("confused", b"HTTP/1.1 200 OK\r\n\r\n")] {
        let listener = bind(name);
        let server = tokio::task::spawn_blocking(move || {
            let (mut stream, _) = listener.accept().expect("the host connects");
            std::io::Write::write_all(&mut stream, answer).expect("the host reads");
        });
        let outcome = stage.register(name, &script(name)).await;
        check_refused(name, outcome, ErrorKind::InvalidRequest, &["cannot be reached there"]);
        server.await.expect("the server ends");
    }
    stage.no_other_is_left().await;
    stage.end().await;
}

#[tokio::test]
async fn a_certificate_that_is_not_the_childs_is_refused() {
    let Some(plugin) = Plugin::go("hostile", &["other-certificate"]) else { return };
    let stage = Stage::set().await;
    let outcome = stage.register("bad", &plugin).await;
    check_refused("bad", outcome, ErrorKind::InvalidRequest, &["cannot be reached there", "certificate"]);
    stage.no_other_is_left().await;
    stage.end().await;
}

#[tokio::test]
async fn a_second_handshake_line_is_not_listened_to() {
    let stage = Stage::set().await;
    let path = crate::stage::healthy();
    let script = format!("{} | while read -r line; do echo \"$line\"; echo \"$line\"; done", path.display());
    stage.mount("twice", &Plugin::script(&script)).await;
    assert_eq!(stage.ask("twice/memory").await.expect("it answers")["reads"], 1);
    stage.end().await;
}

/// Such a process is none of the host's any more, but what it holds open must not hold up the host.
#[tokio::test]
async fn a_fork_that_leaves_the_group_does_not_hold_up_the_host() {
    let stage = Stage::set().await;
    let script = "setsid sleep 600 & echo 'a daemon is born' >&2; exit 0";
    let outcome = stage.register("daemon", &Plugin::script(script)).await;
    check_refused("daemon", outcome, ErrorKind::InvalidRequest, &["exited with status 0", "a daemon is born"]);
    stage.neighbour_answers().await;
    stage.others().into_iter().for_each(processes::kill);
    stage.no_other_is_left().await;
    stage.end().await;
}
