//! Logins without end, which cost the server a core each.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::http::{Request, read};
use crate::siege::{NEIGHBOUR, under};

const ATTACKERS: usize = 16;

fn log_in(user: &str, password: &str) -> Request {
    Request::new("POST", &format!("auth/userpass/login/{user}")).body(format!("{{\"password\":\"{password}\"}}"))
}

#[test]
fn a_flood_of_logins_keeps_no_neighbour_out() {
    let server = under(|siege| {
        let refused = AtomicUsize::new(0);
        let attack = || {
            while siege.goes_on() {
                let answer = siege.ask(log_in("ada", "wrong")).expect("an answer");
                assert!(matches!(answer.status, 400 | 403 | 429 | 503), "{answer:?}");
                refused.fetch_add(1, Ordering::Relaxed);
            }
        };
        std::thread::scope(|scope| {
            (0..ATTACKERS).for_each(|_| drop(scope.spawn(attack)));
            while siege.goes_on() {
                let stream = siege.connect(NEIGHBOUR).unwrap();
                let request = log_in("ada", "countess");
                let mut stream = stream;
                request.send_on(&mut stream, &siege.host).unwrap();
                let answer = read(stream);
                assert_eq!(answer.status, 200, "the neighbour logs in: {answer:?}");
            }
        });
        assert!(refused.into_inner() > 0);
    });
    assert!(server.log().len() < 1 << 16, "strangers do not write the log: {}", server.log());
}
