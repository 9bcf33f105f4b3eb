//! What both stores do alike over ordered keys: listing, and checking what a batch relies on.
//!
//! A listing costs one seek for each folder and one step for each value: it never walks what lies inside a folder.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::Expectation;

/// Values under ordered keys, at one moment.
pub(super) trait Keyspace {
    /// Why reading can fail.
    type Error;

    /// Returns the value under a key.
    fn value(&self, key: &str) -> Result<Option<Bytes>, Self::Error>;

    /// Shows the keys from `from` on, in byte order, until told to stop.
    fn visit(&self, from: &str, visitor: &mut dyn FnMut(&str) -> ControlFlow<()>) -> Result<(), Self::Error>;
}

/// Returns the direct children of a prefix: see [`super::Storage::list`].
pub(super) fn children<K: Keyspace>(
    keyspace: &K,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<String>, K::Error> {
    let mut children = Vec::new();
    let mut from = after.map_or_else(|| prefix.to_owned(), |after| behind(prefix, child_of(after)));
    loop {
        let mut behind_folder = None;
        keyspace.visit(&from, &mut |key| {
            let Some(rest) = key.strip_prefix(prefix) else { return ControlFlow::Break(()) };
            if children.len() >= limit {
                return ControlFlow::Break(());
            }
            let child = child_of(rest);
            children.push(child.to_owned());
            if child.ends_with('/') {
                behind_folder = Some(behind(prefix, child));
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        match behind_folder {
            Some(next) => from = next,
            None => return Ok(children),
        }
    }
}

/// Returns the keys that start with a prefix: see [`super::Storage::keys`].
pub(super) fn keys<K: Keyspace>(keyspace: &K, prefix: &str, limit: usize) -> Result<Vec<String>, K::Error> {
    let mut keys = Vec::new();
    keyspace.visit(prefix, &mut |key| {
        if keys.len() >= limit || !key.starts_with(prefix) {
            return ControlFlow::Break(());
        }
        keys.push(key.to_owned());
        ControlFlow::Continue(())
    })?;
    Ok(keys)
}

/// Returns the keys that start with a prefix, with their values: see [`super::Storage::scan`].
pub(super) fn scan<K: Keyspace>(
    keyspace: &K,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, Bytes)>, K::Error> {
    let mut keys = Vec::new();
    let from = after.filter(|after| *after >= prefix).unwrap_or(prefix);
    keyspace.visit(from, &mut |key| {
        if keys.len() >= limit || !key.starts_with(prefix) {
            return ControlFlow::Break(());
        }
        if Some(key) != after {
            keys.push(key.to_owned());
        }
        ControlFlow::Continue(())
    })?;
    let mut entries = Vec::with_capacity(keys.len());
    for key in keys {
        // It is of the same moment, so it is there.
        if let Some(value) = keyspace.value(&key)? {
            entries.push((key, value));
        }
    }
    Ok(entries)
}

/// Whether everything that a batch relies on is still so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is.
    Holds,
    /// Something has changed.
    Conflict,
}

/// Checks expectations against the current state.
pub(super) fn check<K: Keyspace>(keyspace: &K, expectations: &[Expectation]) -> Result<Verdict, K::Error> {
    for expectation in expectations {
        let holds = match expectation {
            Expectation::Value(key, value) => keyspace.value(key)? == *value,
            Expectation::Children { prefix, after, limit, children: expected } => {
                children(keyspace, prefix, after.as_deref(), *limit)? == *expected
            }
        };
        if !holds {
            return Ok(Verdict::Conflict);
        }
    }
    Ok(Verdict::Holds)
}

/// Returns the part of a key that names a direct child: up to the first slash, which belongs to it.
pub(super) fn child_of(rest: &str) -> &str {
    rest.find('/').map_or(rest, |slash| &rest[..=slash])
}

/// Returns the smallest text that is greater than a child and everything inside it.
///
/// `0` follows `/` in ASCII, so `folder0` comes right behind every key that starts with `folder/`.
fn behind(prefix: &str, child: &str) -> String {
    match child.strip_suffix('/') {
        Some(folder) => format!("{prefix}{folder}0"),
        None => format!("{prefix}{child}\0"),
    }
}
