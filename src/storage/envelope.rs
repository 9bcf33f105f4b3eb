//! What lies around every stored value: its format and a checksum, so that a damaged value is an error and never wrong
//! data.
//!
//! ```text
//! byte 0      1      2..6                      6..
//! format = 1  flags  CRC-32, little-endian     payload
//! ```
//!
//! The checksum covers the key as well: a value that turns up under another key is noticed. It guards against
//! accidents, not against somebody who can write to the file.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::StorageError;

const FORMAT: u8 = 1;
const FLAG_SEAL_WRAP: u8 = 1;
const HEADER_BYTES: usize = 6;

/// A stored value and what is kept with it.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The value.
    pub(crate) value: Bytes,
    /// Whether one more layer of encryption is asked for, where the host has it.
    pub(crate) seal_wrap: bool,
}

impl From<Bytes> for Entry {
    fn from(value: Bytes) -> Self {
        Self { value, seal_wrap: false }
    }
}

/// Shows the size, never the value.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Entry({} bytes)", self.value.len())
    }
}

/// Returns how many bytes [`seal`] makes of an entry.
pub(super) fn sealed_bytes(entry: &Entry) -> usize {
    HEADER_BYTES + entry.value.len()
}

/// Returns the bytes to store for an entry under this key.
pub(super) fn seal(key: &str, entry: &Entry) -> Bytes {
    let flags = if entry.seal_wrap { FLAG_SEAL_WRAP } else { 0 };
    let mut sealed = BytesMut::with_capacity(sealed_bytes(entry));
    sealed.put_u8(FORMAT);
    sealed.put_u8(flags);
    sealed.put_u32_le(checksum(key, flags, &entry.value));
    sealed.put_slice(&entry.value);
    sealed.freeze()
}

/// Returns the entry that [`seal`] made these bytes of, without copying the value.
pub(super) fn open(key: &str, sealed: &Bytes) -> Result<Entry, StorageError> {
    let damaged = |reason: String| StorageError::Damaged { key: key.to_owned(), reason };
    let Some((header, payload)) = sealed.split_at_checked(HEADER_BYTES) else {
        return Err(damaged(format!("it has {} bytes, fewer than its header", sealed.len())));
    };
    let [format, flags, ref expected @ ..] = *header else { return Err(damaged("it has no header".to_owned())) };
    if format != FORMAT {
        return Err(damaged(format!("its format is {format}, and this version reads format {FORMAT}")));
    }
    if *expected != checksum(key, flags, payload).to_le_bytes() {
        return Err(damaged("its checksum does not match".to_owned()));
    }
    if flags & !FLAG_SEAL_WRAP != 0 {
        return Err(damaged(format!("its flags are {flags:#04x}, and this version knows only {FLAG_SEAL_WRAP:#04x}")));
    }
    Ok(Entry { value: sealed.slice(HEADER_BYTES..), seal_wrap: flags & FLAG_SEAL_WRAP != 0 })
}

fn checksum(key: &str, flags: u8, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key.as_bytes());
    hasher.update(&[FORMAT, flags]);
    hasher.update(payload);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn damaged(key: &str, sealed: &[u8], because: &str) {
        let error = open(key, &Bytes::copy_from_slice(sealed)).expect_err("the value should be refused").to_string();
        assert!(error.contains(because) && error.contains(key), "{error:?} should say {because:?}");
    }

    #[test]
    fn what_is_sealed_opens_again() {
        for seal_wrap in [false, true] {
            for value in ["", "x", "a longer value"] {
                let entry = Entry { value: Bytes::from(value), seal_wrap };
                assert_eq!(open("a/b", &seal("a/b", &entry)).unwrap(), entry);
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let sealed = seal("key", &Entry { value: Bytes::from_static(b"value"), seal_wrap: true });
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            damaged("key", &flipped, "damaged");
        }
    }

    #[test]
    fn damage_is_named() {
        let sealed = seal("key", &Bytes::from_static(b"value").into());
        damaged("other", &sealed, "checksum");
        damaged("key", &sealed[..5], "5 bytes");
        damaged("key", b"", "0 bytes");
        damaged("key", b"{\"json\":1}", "format is 123");
        damaged("key", &sealed[..8], "checksum");
    }
}
