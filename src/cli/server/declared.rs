//! The plugins that the configuration declares: registered at the start, and again when the process gets SIGHUP.

use tokio::task::spawn_blocking;

use super::Upkeep;
use super::config::{self, PluginBlock};
use crate::host::{Declared, Host};
use crate::http::CertificateStore;

/// Makes the catalog hold what the blocks say, and logs what became of each. None of it keeps the server from serving.
pub(super) async fn apply(host: &Host, blocks: Vec<PluginBlock>) {
    let registrations = blocks.iter().map(|block| block.registration.clone()).collect();
    let outcomes = match host.declare_plugins(registrations).await {
        Ok(outcomes) => outcomes,
        Err(error) => return tracing::error!(%error, "the declared plugins were not looked at"),
    };
    for outcome in outcomes {
        match outcome {
            // It was told when it was registered.
            Declared::Unchanged(_) | Declared::Registered(_) => {}
            Declared::Refused { index, reason } => {
                let PluginBlock { place, registration } = &blocks[index];
                let kind = registration.kind.map_or("", |kind| kind.as_str());
                let block = format!("plugin {kind:?} {:?} at {place}", registration.name.as_str());
                tracing::error!("the declared plugin is left out: {block}: {reason}");
            }
            Declared::Removed { plugin } => tracing::info!("deregistered {plugin}, which is declared no more"),
            Declared::Kept { plugin, reason } => {
                tracing::warn!("{plugin} is declared no more and stays for now: {reason}");
            }
        }
    }
}

/// Reads again, whenever the process is told to hang up, what can change while the server runs: the log file,
/// certificates, the log's settings and the declared plugins. Of everything else, nothing changes before the next
/// start. Never ends by itself, unless nobody can be told to hang up.
pub(super) async fn follow(host: Host, mut upkeep: Upkeep, certificates: Vec<CertificateStore>) {
    let Some(mut hangups) = upkeep.hangups.take() else { return };
    while hangups.recv().await.is_some() {
        upkeep.manager.reloading();
        // First and in any case: a file that was moved away must not be written on.
        upkeep.log.reopen();
        reload_certificates(certificates.clone()).await;
        reload(&host, &mut upkeep).await;
        upkeep.manager.ready();
    }
}

/// Reads the configuration again. One that is not good changes nothing.
async fn reload(host: &Host, upkeep: &mut Upkeep) {
    let (paths, mode) = (upkeep.paths.clone(), upkeep.mode);
    match spawn_blocking(move || config::load(&paths, mode)).await {
        Ok(Ok((config, _))) => {
            upkeep.log.change(upkeep.typed.with(&config));
            if let Some(blocks) = config.plugins {
                apply(host, blocks).await;
            }
            tracing::info!("the configuration was read again, and its plugins were taken over");
        }
        Ok(Err(problems)) => {
            tracing::error!("the configuration was read again and has problems; nothing was changed:\n{problems}");
        }
        Err(_) => tracing::error!("reading the configuration again failed; nothing was changed"),
    }
}

/// Reads the listeners' certificates again. One that is no good is left as it was, and says so.
async fn reload_certificates(certificates: Vec<CertificateStore>) {
    let reload = move || {
        for certificate in &certificates {
            let file = certificate.cert().display();
            match certificate.reload() {
                Ok(()) => tracing::info!("the certificate {file} was read again: new connections get it"),
                Err(error) => tracing::error!("the certificate {file} was not read again, the old one stays: {error}"),
            }
        }
    };
    if spawn_blocking(reload).await.is_err() {
        tracing::error!("reading the certificates again failed; nothing was changed");
    }
}
