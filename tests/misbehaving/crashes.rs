//! Crash loops: the first crash costs nothing, later ones a wait, during which nothing is started.

use std::fs;
use std::time::Duration;

use cofferdam::ErrorKind::{PluginFault, Unavailable};
use futures_util::future::join_all;

use crate::processes;
use crate::stage::{Plugin, Stage, check_refused};

/// A plugin that counts its starts, and breaks when somebody wants it to.
struct Fragile {
    stage: Stage,
}

impl Fragile {
    /// Mounts it at `fragile/`, or `None` where there is no Go.
    async fn mounted(args: &[&str]) -> Option<Self> {
        let mut plugin = Plugin::go("hostile", args)?;
        let stage = Stage::set().await;
        let text = String::from_utf8(plugin.bytes).expect("it is a script");
        let (starts, broken) = (stage.scratch("starts"), stage.scratch("broken"));
        let script = format!("echo started >> {}; [ ! -e {} ] || exit 4", starts.display(), broken.display());
        plugin.bytes = text.replace("exec ", &format!("{script}\nexec ")).into();
        stage.mount("fragile", &plugin).await;
        Some(Self { stage })
    }

    fn starts(&self) -> usize {
        fs::read_to_string(self.stage.scratch("starts")).expect("it was started").lines().count()
    }

    fn broken(&self) {
        fs::write(self.stage.scratch("broken"), "").expect("a file can be made");
    }
}

#[tokio::test]
async fn a_crash_loop_is_slowed_down_and_says_so() {
    let Some(fragile) = Fragile::mounted(&["dies-at", "HandleRequest"]).await else { return };
    let stage = &fragile.stage;
    let before = fragile.starts();
    for _ in 0..2 {
        let outcome = stage.ask("fragile/memory").await;
        check_refused("crash", outcome, PluginFault, &["at fragile/ crashed: its process exited with status 3"]);
    }
    assert_eq!(fragile.starts(), before + 1, "the second request started it again");
    let many = join_all((0..20).map(|_| stage.ask("fragile/memory")));
    let (outcomes, ()) = tokio::join!(many, stage.neighbour_answers());
    for outcome in outcomes {
        check_refused(
            "crash loop",
            outcome,
            Unavailable,
            &[
                "at fragile/ is failing: it failed 2 times in a row",
                "the last time because its process exited with status 3",
                "next try in 1s",
            ],
        );
    }
    assert_eq!(fragile.starts(), before + 1, "nothing is started meanwhile");
    stage.no_other_is_left().await;
    fragile.stage.end().await;
}

#[tokio::test]
async fn many_requests_after_a_crash_start_it_once() {
    let Some(fragile) = Fragile::mounted(&["dies-at", "Nowhere"]).await else { return };
    let stage = &fragile.stage;
    let before = fragile.starts();
    for pid in stage.others() {
        processes::kill(pid);
    }
    stage.no_other_is_left().await;
    let outcomes = join_all((0..20).map(|_| stage.ask("fragile/memory"))).await;
    // Whoever asks before the host has heard of it is told; the others are answered.
    for outcome in outcomes.into_iter().filter(Result::is_err) {
        check_refused("crashed", outcome, PluginFault, &["its process was killed by signal 9 (SIGKILL)"]);
    }
    stage.ask("fragile/memory").await.expect("it answers again");
    assert_eq!(fragile.starts(), before + 1, "it was started once");
    fragile.stage.end().await;
}

#[tokio::test]
async fn a_plugin_that_does_not_start_any_more_is_tried_once() {
    let Some(fragile) = Fragile::mounted(&["dies-at", "Nowhere"]).await else { return };
    let stage = &fragile.stage;
    let before = fragile.starts();
    fragile.broken();
    for pid in stage.others() {
        processes::kill(pid);
    }
    stage.no_other_is_left().await;
    let (first, ()) = tokio::join!(stage.ask("fragile/memory"), stage.neighbour_answers());
    check_refused("first", first, PluginFault, &["fragile/"]);
    let mut outcomes = join_all((0..20).map(|_| stage.ask("fragile/memory"))).await;
    let last = outcomes.pop().expect("there are some");
    check_refused("last", last, Unavailable, &["is failing", "its process exited with status 4", "next try in"]);
    assert_eq!(fragile.starts(), before + 1, "it was tried once");
    // An operator who has mended it need not wait: a mount that is made anew starts at once.
    fs::remove_file(stage.scratch("broken")).expect("the file was there");
    let soon = Duration::from_secs(5);
    let mended = tokio::time::timeout(soon, stage.disable("fragile")).await.expect("it does not take long");
    mended.expect("it can be disabled");
    stage.neighbour_answers().await;
    fragile.stage.end().await;
}
