//! Cofferdam.

pub mod ident;
pub mod limits;
pub mod request;
pub mod storage;
