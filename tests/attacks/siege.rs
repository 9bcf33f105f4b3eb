//! A server under attack, and the neighbour who is served meanwhile.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;

use crate::http::{Answer, Request, read};
use crate::program::{DEADLINE, Server, World};

/// How much more memory a server may hold under any attack than before it, in bytes.
pub(crate) const MEMORY_MAX: u64 = 512 << 20;

/// How late the neighbour is answered at most, but for one question in a hundred.
const LATENESS_MAX: Duration = Duration::from_millis(100);

/// How often the neighbour asks while an attack goes on, at least.
const QUESTIONS: usize = 300;

/// How long the neighbour waits between two questions.
const PAUSE: Duration = Duration::from_millis(2);

/// Where attackers come from.
pub(crate) const ATTACKER: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Where the neighbour comes from.
pub(crate) const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// One attack at a time: what is measured is one server, not how many there are.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A server under attack.
pub(crate) struct Siege {
    /// The host and port of its first listener.
    pub(crate) host: String,
    asked: AtomicUsize,
    is_over: AtomicBool,
}

impl Siege {
    /// Whether the attack has to go on: the neighbour has not asked often enough yet.
    pub(crate) fn goes_on(&self) -> bool {
        self.asked.load(Ordering::Relaxed) < QUESTIONS
    }

    /// Returns the URL of its first listener.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.host)
    }

    /// Holds what an attack has taken until the neighbour has asked often enough once more.
    pub(crate) fn hold<T>(&self, held: T) {
        let enough = self.asked.load(Ordering::Relaxed) + QUESTIONS;
        while self.asked.load(Ordering::Relaxed) < enough {
            std::thread::park_timeout(PAUSE);
        }
        drop(held);
    }

    /// Returns a connection to the server from this address of the machine.
    pub(crate) fn connect(&self, from: Ipv4Addr) -> std::io::Result<TcpStream> {
        connect(from, &self.host)
    }

    /// Sends a request from the attackers' address. `None` when the server hangs up instead of answering.
    pub(crate) fn ask(&self, request: Request) -> Option<Answer> {
        let mut stream = self.connect(ATTACKER).ok()?;
        request.send_on(&mut stream, &self.host).ok()?;
        let mut answer = Vec::new();
        // Who is not listened to is reset, often enough with the answer on its way.
        let _ = stream.read_to_end(&mut answer);
        Answer::parse(&answer)
    }
}

/// Starts a development server with an auth method at `auth/userpass/`, attacks it, and checks what it cost.
pub(crate) fn under(attack: impl FnOnce(&Siege)) -> Server {
    let world = World::new();
    let server = world.dev_server();
    world.succeed(&server, &["auth", "enable", "userpass"]);
    world.succeed(&server, &["write", "auth/userpass/users/ada", "password=countess"]);
    attacked(&server, attack);
    server
}

/// Attacks a server, and checks what it cost.
pub(crate) fn attacked(server: &Server, attack: impl FnOnce(&Siege)) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let before = server.memory_peak();
    let siege =
        Siege { host: server.listeners[0].clone(), asked: AtomicUsize::new(0), is_over: AtomicBool::new(false) };
    let mut late = std::thread::scope(|scope| {
        let neighbour = scope.spawn(|| questions(&siege));
        // Ends the neighbour's questions also where the attack itself fails.
        let over = Over(&siege);
        attack(&siege);
        drop(over);
        neighbour.join().unwrap()
    });
    late.sort_unstable();
    let lateness = late[late.len() * 99 / 100];
    let grown = server.memory_peak().saturating_sub(before);
    println!(
        "{} questions, p99 {lateness:?}, slowest {:?}, {} KiB more",
        late.len(),
        late[late.len() - 1],
        grown >> 10
    );
    assert!(lateness <= LATENESS_MAX, "the neighbour was answered after {lateness:?}");
    assert!(grown <= MEMORY_MAX, "the server took {grown} bytes more");
    assert_eq!(server.ask("GET", "sys/mounts", "").status, 200, "the server serves who has a token");
}

struct Over<'a>(&'a Siege);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

/// Asks for the server's health, each time on a new connection, and returns how long each answer took.
fn questions(siege: &Siege) -> Vec<Duration> {
    let mut late = Vec::with_capacity(QUESTIONS);
    while !siege.is_over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let stream = siege.connect(NEIGHBOUR).expect("the neighbour gets a connection");
        let answer = read(Request::new("GET", "sys/health").begin_on(stream, &siege.host));
        late.push(begun.elapsed());
        assert_eq!(answer.status, 200, "{answer:?}");
        siege.asked.fetch_add(1, Ordering::Relaxed);
        std::thread::park_timeout(PAUSE);
    }
    late
}

/// Connects from this address of the machine.
pub(crate) fn connect(from: Ipv4Addr, host: &str) -> std::io::Result<TcpStream> {
    let to: SocketAddr = host.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let stream = runtime.block_on(async {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(IpAddr::V4(from), 0))?;
        socket.connect(to).await?.into_std()
    })?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    Ok(stream)
}

/// Sends bytes on a connection until the server takes no more for this long, and returns whether it is still open.
pub(crate) fn push(stream: &mut TcpStream, bytes: &[u8], patience: Duration) -> bool {
    stream.set_write_timeout(Some(patience)).unwrap();
    match stream.write_all(bytes) {
        Ok(()) => true,
        Err(error) => matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
    }
}
