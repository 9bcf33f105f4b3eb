//! What a host and its plugins both mean, so that one value is never read in two ways.
//!
//! - [`GoDuration`]: durations as Go writes them, with Vault's additions.
//! - [`FieldType`] and [`read`]: the types of a request's fields, and the readers behind them. They take what Vault's
//!   take: `"1.5h"` and `90` for a duration, `"a,b"` for a list, `""` for what is to be reset.
//! - [`json`]: parsing that keeps digits and goes as deep as requests may.
//!
//! The table `cases.json` says what each type makes of each form. Tests of this crate and of the SDK hold it, and one
//! has Vault's own SDK read it (`tests/contract/fields.rs`).

mod duration;
mod field_type;
mod header;
pub mod json;
pub mod read;
mod scalar;
mod time;

pub use duration::DurationError;
pub use duration::GoDuration;
pub use field_type::FieldType;
pub use scalar::Mismatch;
pub use scalar::Scalar;
pub use scalar::boolean;
pub use time::Time;
