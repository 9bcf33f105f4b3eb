//! From version 1 to version 2: every secret becomes the first version of itself.
//!
//! A marker in storage says that the upgrade has begun, and from then on nothing is written in version 1 any more: each
//! write there reads the marker in its transaction. Then secrets move in batches, each in one transaction, until none
//! is left, and the marker says that it is done. A crash at any moment leaves whole batches; whoever comes next goes on
//! with what is left, and several may.

use cofferdam_sdk::{Context, Error, Storage, Transaction};
use serde::{Deserialize, Serialize};

use crate::path::{SecretPath, V1_PREFIX};
use crate::time::Time;
use crate::v2::record::{self, KeyMetadata};

/// Where the marker is.
pub(crate) const MARKER: &str = "2/upgrade";

/// Secrets in one transaction: with three keys each it stays well below a transaction's 1,000.
const BATCH_SECRETS: u32 = 100;

/// Bytes after which a transaction takes no further secret. Each is read and written, the last may have 1 MiB, and a
/// transaction holds 8 MiB of both.
const BATCH_BYTES: usize = 2 * 1024 * 1024;

#[derive(Deserialize, Serialize)]
struct Marker {
    done: bool,
}

/// How far an upgrade has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Progress {
    /// Everything is versioned.
    Done,
    /// There is more to do.
    Unfinished,
}

/// Takes the upgrade so many batches further.
pub(crate) fn advance(ctx: &Context, batches_max: usize) -> Result<Progress, Error> {
    match ctx.get_json::<Marker>(MARKER)? {
        Some(Marker { done: true }) => return Ok(Progress::Done),
        Some(Marker { done: false }) => {}
        None => {
            ctx.transact(|transaction| {
                // A new mount has nothing to move. If a secret comes in between, this starts again and sees it.
                let done = transaction.list_page(V1_PREFIX, None, 1)?.is_empty();
                transaction.put_json(MARKER, &Marker { done })
            })?;
        }
    }
    for _ in 0..batches_max {
        let batch = next_batch(ctx)?;
        if batch.is_empty() {
            ctx.put_json(MARKER, &Marker { done: true })?;
            return Ok(Progress::Done);
        }
        ctx.transact(|transaction| move_batch(transaction, &batch))?;
    }
    Ok(Progress::Unfinished)
}

/// Refuses a request of version 1 once an upgrade has begun: what it asks for may have moved.
pub(crate) fn refuse_if_begun(storage: &impl Storage) -> Result<(), Error> {
    if storage.get(MARKER)?.is_some() { Err(unavailable()) } else { Ok(()) }
}

/// Refuses to serve versioned data as if it had no versions.
pub(crate) fn refuse_downgrade(ctx: &Context) -> Result<(), Error> {
    if ctx.get(MARKER)?.is_some() {
        return Err(Error::InvalidRequest("cannot downgrade mount from version 2".into()));
    }
    Ok(())
}

/// Vault's words.
pub(crate) fn unavailable() -> Error {
    let text = "Upgrading from non-versioned to versioned data. This backend will be unavailable for a brief period and will \
                resume service shortly.";
    Error::Unavailable(text.into())
}

/// Returns the paths of some secrets that have not moved yet; none when all have.
fn next_batch(ctx: &Context) -> Result<Vec<SecretPath>, Error> {
    let mut batch = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        // A page suffices: what is behind it is found once this has moved. Every folder holds a secret, so each turn
        // gets on.
        for child in ctx.list_page(&format!("{}{folder}", V1_PREFIX), None, BATCH_SECRETS)? {
            let path = format!("{folder}{child}");
            if path.ends_with('/') {
                folders.push(path);
            } else {
                batch.push(SecretPath::require(&path)?);
            }
        }
        if batch.len() >= BATCH_SECRETS as usize {
            break;
        }
    }
    Ok(batch)
}

fn move_batch(transaction: &Transaction, batch: &[SecretPath]) -> Result<(), Error> {
    let mut bytes = 0;
    for path in batch {
        // Another instance may have been here.
        let Some(secret) = transaction.get(&path.v1_key())? else { continue };
        bytes += secret.len();
        let mut metadata = KeyMetadata::get(transaction, path)?.unwrap_or_default();
        let pruned = metadata.add_version(Time::now(), None, 1);
        record::put_version(transaction, path, metadata.current_version, &secret)?;
        record::delete_versions(transaction, path, &pruned)?;
        metadata.put(transaction, path)?;
        transaction.delete(&path.v1_key())?;
        if bytes >= BATCH_BYTES {
            break;
        }
    }
    Ok(())
}
