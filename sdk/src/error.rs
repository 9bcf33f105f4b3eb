//! Why a plugin did not do what was asked.

use std::fmt;

use cofferdam_contract::json::ParseError;

use crate::StorageError;

/// A plugin's refusal or failure, with the HTTP status that the client gets.
///
/// The text goes to the client, so it must not hold a secret. Write it as a lower-case fragment: "role is locked".
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Error {
    /// 403: the caller may not do this.
    Denied(String),
    /// 400: the request makes no sense as it is.
    InvalidRequest(String),
    /// 405: the path is known, what is asked of it is not.
    UnsupportedOperation,
    /// 404: the plugin has no such path.
    UnsupportedPath,
    /// 404: the path is known, and there is nothing there.
    NotFound(String),
    /// 409: somebody else was faster.
    Conflict(String),
    /// 503: the request may be tried again.
    Unavailable(String),
    /// 500: the plugin is at fault.
    Internal(String),
}

impl Error {
    /// Returns the HTTP status that Vault gives this error.
    pub fn status(&self) -> u16 {
        match self {
            Self::InvalidRequest(_) => 400,
            Self::Denied(_) => 403,
            Self::UnsupportedPath | Self::NotFound(_) => 404,
            Self::UnsupportedOperation => 405,
            Self::Conflict(_) => 409,
            Self::Internal(_) => 500,
            Self::Unavailable(_) => 503,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::UnsupportedOperation => f.write_str("unsupported operation"),
            Self::UnsupportedPath => f.write_str("unsupported path"),
            Self::Denied(reason)
            | Self::InvalidRequest(reason)
            | Self::NotFound(reason)
            | Self::Conflict(reason)
            | Self::Unavailable(reason)
            | Self::Internal(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Error {}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        let text = error.to_string();
        match error {
            // Size and key nearly always come from what the client sent.
            StorageError::TooLarge(_) | StorageError::InvalidKey(_) => Self::InvalidRequest(text),
            StorageError::Conflict => Self::Conflict(text),
            StorageError::Unavailable(_) => Self::Unavailable(text),
            // A retry does not help with either: one is the plugin's mistake, the other needs an operator.
            StorageError::ReadOnly | StorageError::Full(_) => Self::Internal(text),
        }
    }
}

impl From<serde_json::Error> for Error {
    /// Says where the JSON went wrong and not what it held: serde's own text quotes values, which may be secrets.
    ///
    /// It is the plugin's fault until it says otherwise; what a client sent is read with
    /// [`Request::data`](crate::Request::data), which answers with [`Error::InvalidRequest`].
    fn from(error: serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        match line {
            0 => Self::Internal("value does not convert to or from JSON".into()),
            _ => Self::Internal(format!("malformed JSON at line {line}, column {column}")),
        }
    }
}

impl From<ParseError> for Error {
    /// It is the plugin's fault until it says otherwise, as for serde_json's own errors.
    fn from(error: ParseError) -> Self {
        Self::Internal(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_storage_error_becomes_the_status_a_client_can_act_on() {
        let rows = [
            (StorageError::ReadOnly, 500),
            (StorageError::TooLarge(1), 400),
            (StorageError::Full(1), 500),
            (StorageError::InvalidKey("x".into()), 400),
            (StorageError::Conflict, 409),
            (StorageError::Unavailable("x".into()), 503),
        ];
        for (error, status) in rows {
            assert_eq!(Error::from(error.clone()).status(), status, "{error:?}");
        }
    }

    #[test]
    fn a_json_error_does_not_repeat_what_it_read() {
        let error = serde_json::from_str::<u8>("\"hunter2\"").unwrap_err();
        assert!(error.to_string().contains("hunter2"), "serde no longer quotes values; the conversion can be simpler");
        assert_eq!(Error::from(error), Error::Internal("malformed JSON at line 1, column 9".into()));
    }
}
