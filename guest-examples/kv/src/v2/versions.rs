//! `delete/{path}`, `undelete/{path}` and `destroy/{path}`: what becomes of versions that are named.

use cofferdam_sdk::{Call, Context, Error, Field, FieldType, Response, Route, Transaction};

use super::record::{self, Config, KeyMetadata};
use super::{fields, find, path_field};
use crate::Kv;
use crate::path::SecretPath;
use crate::time::Time;

/// How many versions one transaction destroys, which may hold 1,000 keys.
const DESTROYED_AT_ONCE: usize = 500;

pub(super) fn routes() -> [Route<Kv>; 3] {
    let versions = |what: &str| Field::of(FieldType::CommaIntSlice, "versions", what);
    let delete = Route::new("delete/{path..}")
        .synopsis("Marks one or more versions as deleted in the KV store.")
        .description("Their data is no longer returned by normal reads, and can be brought back.")
        .field(versions("The versions to be archived. The versioned data will not be deleted."));
    let undelete = Route::new("undelete/{path..}")
        .synopsis("Undeletes one or more versions from the KV store.")
        .description("Restores the data, allowing it to be returned on reads.")
        .field(versions("The versions to unarchive. The versions will be restored."));
    let destroy = Route::new("destroy/{path..}")
        .synopsis("Permanently removes one or more versions in the KV store")
        .description("Permanently removes the data of the given versions of a key.")
        .field(versions("The versions to destroy. Their data will be permanently deleted."));
    [
        delete.field(path_field()).write(self::delete),
        undelete.field(path_field()).write(self::undelete),
        destroy.field(path_field()).write(self::destroy),
    ]
}

fn delete(_: &Kv, ctx: &Context, call: &Call) -> Result<Response, Error> {
    let numbers = fields::versions(call, "No version number provided")?;
    change(ctx, call, &numbers, |_, _, metadata, numbers| {
        let now = Time::now();
        for number in numbers {
            if let Some(version) = metadata.versions.get_mut(number).filter(|version| !version.is_gone()) {
                version.deletion_time = Some(now);
            }
        }
        Ok(())
    })
}

fn undelete(_: &Kv, ctx: &Context, call: &Call) -> Result<Response, Error> {
    let numbers = fields::versions(call, "No version number provided")?;
    change(ctx, call, &numbers, |transaction, _, metadata, numbers| {
        let deletion_time = metadata.deletion_time(Time::now(), &Config::get(transaction)?);
        for number in numbers {
            if let Some(version) = metadata.versions.get_mut(number).filter(|version| !version.destroyed) {
                version.deletion_time = deletion_time;
            }
        }
        Ok(())
    })
}

fn destroy(_: &Kv, ctx: &Context, call: &Call) -> Result<Response, Error> {
    let numbers = fields::versions(call, "no version number provided")?;
    change(ctx, call, &numbers, |transaction, path, metadata, numbers| {
        let mut destroyed = Vec::new();
        for number in numbers {
            if let Some(version) = metadata.versions.get_mut(number) {
                version.destroyed = true;
                destroyed.push(*number);
            }
        }
        record::delete_versions(transaction, path, &destroyed)
    })
}

/// Changes what is known of a secret, in as many transactions as so many versions take. Where there is no secret there
/// is nothing to do.
fn change(
    ctx: &Context,
    call: &Call,
    numbers: &[u64],
    change: impl Fn(&Transaction, &SecretPath, &mut KeyMetadata, &[u64]) -> Result<(), Error>,
) -> Result<Response, Error> {
    let Some(path) = find(call)? else { return Ok(Response::none()) };
    for numbers in numbers.chunks(DESTROYED_AT_ONCE) {
        ctx.transact(|transaction| {
            let Some(mut metadata) = KeyMetadata::get(transaction, &path)? else { return Ok(()) };
            change(transaction, &path, &mut metadata, numbers)?;
            metadata.put(transaction, &path)
        })?;
    }
    Ok(Response::none())
}
