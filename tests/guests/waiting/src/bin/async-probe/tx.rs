//! Stories of transactions, each told in one request. Results are shown as the plugin sees them.

use cofferdam_sdk::{AsyncContext, AsyncStorage, Error, Response, StorageError};
use serde_json::{Value, json};

pub(crate) async fn story(ctx: &AsyncContext<'_>, which: &str) -> Result<Response, Error> {
    match which {
        // What was written is seen inside at once, outside after the commit.
        "commit" => {
            let transaction = ctx.begin().await?;
            transaction.put("tx/a", b"1").await?;
            transaction.put("tx/b", b"2").await?;
            let (inside, outside) = (text(transaction.get("tx/a").await?), text(ctx.get("tx/a").await?));
            let listed = transaction.list("tx/").await?;
            let committed = transaction.commit().await;
            let after = [text(ctx.get("tx/a").await?), text(ctx.get("tx/b").await?)];
            Response::json(&json!({
                "inside": inside, "outside": outside, "listed": listed, "commit": shown(&committed), "after": after,
            }))
        }
        "abandon" => {
            let transaction = ctx.begin().await?;
            transaction.put("tx/abandoned", b"1").await?;
            drop(transaction);
            Response::json(&json!({ "after": text(ctx.get("tx/abandoned").await?) }))
        }
        // Somebody changes what was read.
        "conflict" => {
            ctx.put("tx/contested", b"1").await?;
            let transaction = ctx.begin().await?;
            let read = text(transaction.get("tx/contested").await?);
            ctx.put("tx/contested", b"2").await?;
            transaction.put("tx/contested", b"3").await?;
            let committed = transaction.commit().await;
            Response::json(&json!({
                "read": read, "commit": shown(&committed), "after": text(ctx.get("tx/contested").await?),
            }))
        }
        // Starts again until nobody was faster.
        "retry" => {
            ctx.put("tx/retried", b"1").await?;
            let mut rounds = 0;
            ctx.transact(async |transaction| {
                rounds += 1;
                let read = transaction.get("tx/retried").await?;
                if rounds == 1 {
                    ctx.put("tx/retried", b"2").await?;
                }
                let seen = text(read);
                transaction.put("tx/retried", format!("{}+", seen.as_str().unwrap_or_default()).as_bytes()).await?;
                Ok(())
            })
            .await?;
            Response::json(&json!({ "rounds": rounds, "after": text(ctx.get("tx/retried").await?) }))
        }
        // Reads from one moment, and writes nothing.
        "snapshot" => {
            ctx.put("tx/moment", b"1").await?;
            let snapshot = ctx.snapshot().await?;
            ctx.put("tx/moment", b"2").await?;
            let read = text(snapshot.get("tx/moment").await?);
            let (put, deleted) = (snapshot.put("tx/moment", b"3").await, snapshot.delete("tx/moment").await);
            Response::json(&json!({
                "read": read, "put": shown(&put), "delete": shown(&deleted), "commit": shown(&snapshot.commit().await),
                "after": text(ctx.get("tx/moment").await?),
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
