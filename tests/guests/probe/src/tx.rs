//! Stories of transactions, each told in one request. Results are shown as the plugin sees them.

use cofferdam_sdk::{Context, Error, Response, Storage, StorageError};
use serde_json::{Value, json};

pub(crate) fn story(ctx: &Context, which: &str) -> Result<Response, Error> {
    match which {
        // What was written is seen inside at once, outside after the commit.
        "commit" => {
            let transaction = ctx.begin()?;
            transaction.put("tx/a", b"1")?;
            transaction.put("tx/b", b"2")?;
            let (inside, outside) = (text(transaction.get("tx/a")?), text(ctx.get("tx/a")?));
            let listed = transaction.list("tx/")?;
            let committed = transaction.commit();
            let after = [text(ctx.get("tx/a")?), text(ctx.get("tx/b")?)];
            Response::json(&json!({
                "inside": inside, "outside": outside, "listed": listed, "commit": shown(&committed), "after": after,
            }))
        }
        "abandon" => {
            let transaction = ctx.begin()?;
            transaction.put("tx/abandoned", b"1")?;
            drop(transaction);
            Response::json(&json!({ "after": text(ctx.get("tx/abandoned")?) }))
        }
        // Somebody changes what was read.
        "conflict" => {
            ctx.put("tx/contested", b"1")?;
            let transaction = ctx.begin()?;
            let read = text(transaction.get("tx/contested")?);
            ctx.put("tx/contested", b"2")?;
            transaction.put("tx/contested", b"3")?;
            let committed = transaction.commit();
            Response::json(&json!({
                "read": read, "commit": shown(&committed), "after": text(ctx.get("tx/contested")?),
            }))
        }
        // Starts again until nobody was faster.
        "retry" => {
            ctx.put("tx/retried", b"1")?;
            let mut rounds = 0;
            ctx.transact(|transaction| {
                rounds += 1;
                let read = transaction.get("tx/retried")?;
                if rounds == 1 {
                    ctx.put("tx/retried", b"2")?;
                }
                let seen = text(read);
                transaction.put("tx/retried", format!("{}+", seen.as_str().unwrap_or_default()).as_bytes())?;
                Ok(())
            })?;
            Response::json(&json!({ "rounds": rounds, "after": text(ctx.get("tx/retried")?) }))
        }
        // Reads from one moment, and writes nothing.
        "snapshot" => {
            ctx.put("tx/moment", b"1")?;
            let snapshot = ctx.snapshot()?;
            ctx.put("tx/moment", b"2")?;
            let read = text(snapshot.get("tx/moment")?);
            let (put, deleted) = (snapshot.put("tx/moment", b"3"), snapshot.delete("tx/moment"));
            Response::json(&json!({
                "read": read, "put": shown(&put), "delete": shown(&deleted), "commit": shown(&snapshot.commit()),
                "after": text(ctx.get("tx/moment")?),
            }))
        }
        _ => Err(Error::UnsupportedPath),
    }
}

fn text(value: Option<Vec<u8>>) -> Value {
    value.map_or(Value::Null, |value| String::from_utf8_lossy(&value).into())
}

fn shown(result: &Result<(), StorageError>) -> String {
    match result {
        Ok(()) => "done".into(),
        Err(StorageError::ReadOnly) => "read-only".into(),
        Err(StorageError::Conflict) => "conflict".into(),
        Err(other) => other.to_string(),
    }
}
