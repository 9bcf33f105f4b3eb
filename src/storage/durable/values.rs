//! All stored values, as the database's tables hold them.

use std::ops::ControlFlow;

use bytes::Bytes;
use redb::{ReadOnlyTable, ReadableTable};

use super::super::keyspace::Keyspace;

/// All stored values, as of one commit.
pub(super) type Table = Values<ReadOnlyTable<&'static str, &'static [u8]>>;

/// A table of the database, read as a [`Keyspace`].
pub(super) struct Values<T>(pub(super) T);

impl<T: ReadableTable<&'static str, &'static [u8]>> Keyspace for Values<T> {
    type Error = redb::Error;

    fn value(&self, key: &str) -> Result<Option<Bytes>, redb::Error> {
        Ok(self.0.get(key)?.map(|value| Bytes::copy_from_slice(value.value())))
    }

    fn visit(&self, from: &str, visitor: &mut dyn FnMut(&str) -> ControlFlow<()>) -> Result<(), redb::Error> {
        for entry in self.0.range::<&str>(from..)? {
            if visitor(entry?.0.value()).is_break() {
                break;
            }
        }
        Ok(())
    }
}
