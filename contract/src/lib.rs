//! What a host and its plugins both mean, so that one value is never read in two ways.
//!
//! - [`GoDuration`]: durations as Go writes them, with Vault's additions.
//! - [`FieldType`] and [`read`]: the types of a request's fields, and the readers behind them. They take what Vault's
//!   take: `"1.5h"` and `90` for a duration, `"a,b"` for a list, `""` for what is to be reset.
//! - [`json`]: parsing that keeps digits and goes as deep as requests may.
//! - [`answer`]: what a plugin may answer.
//! - [`key`]: what keys of stored values may be. [`PathRules`]: patterns of paths, such as those that need no token.
//!
//! The table `cases.json` says what each type makes of each form. Tests of this crate and of the SDK hold it, and one
//! has Vault's own SDK read it (`tests/contract/fields.rs`).

pub mod answer;
mod duration;
mod field_type;
mod header;
pub mod json;
pub mod key;
mod path_rules;
pub mod read;
mod scalar;
mod time;

pub use answer::AnswerFacts;
pub use duration::DurationError;
pub use duration::GoDuration;
pub use field_type::FieldType;
pub use path_rules::PATTERN_BYTES_MAX;
pub use path_rules::PATTERNS_MAX;
pub use path_rules::PathRules;
pub use scalar::Mismatch;
pub use scalar::Scalar;
pub use scalar::boolean;
pub use time::Time;
