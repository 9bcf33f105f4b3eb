//! Takes all there is of something.

use std::hint::black_box;
use std::time::Duration;

use serde_json::json;

use crate::cofferdam::plugin::host::{Context, Level};
use crate::{Answer, answer};

pub(crate) fn all(what: &str) -> Answer {
    match what {
        "spin" => spin(),
        "allocate" => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(black_box(vec![1_u8; 1 << 20]));
            }
        }
        "allocate-gently" => answer(json!({ "refused": Vec::<u8>::new().try_reserve_exact(1 << 30).is_err() })),
        "recurse" => answer(json!({ "deep": recurse(0) })),
        _ => answer(json!({ "bytes": wasip2::random::random::get_random_bytes(1 << 30).len() })),
    }
}

/// Says so, and sleeps for ever.
pub(crate) fn sleep(ctx: &Context) -> ! {
    ctx.log(Level::Info, "asleep", &[]);
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// Says so, and spins for ever.
pub(crate) fn spin_aloud(ctx: &Context) -> ! {
    ctx.log(Level::Info, "spinning", &[]);
    spin()
}

pub(crate) fn spin() -> ! {
    loop {
        black_box(());
    }
}

#[expect(unconditional_recursion, reason = "that is what it is for")]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    recurse(frame[0] + 1) + black_box(frame[1])
}
