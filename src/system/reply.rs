//! What one of the host's own paths answers, before it is an [`Answer`].

use serde::Serialize;

use crate::host::{Answer, AnsweredBy};
use crate::json;
use crate::request::Body;

/// The content type of JSON without an envelope.
const JSON: &str = "application/json";

/// The statuses that replies choose by themselves, as HTTP has them.
const OK: u16 = 200;
const ACCEPTED: u16 = 202;

/// What a path of the host's own answers.
pub(super) enum Reply {
    /// It is done, and there is nothing to say.
    Done,
    /// Data in Vault's envelope.
    Data {
        /// Whether what was asked for goes on elsewhere.
        is_accepted: bool,
        /// A JSON object; `None` shows as `null`.
        data: Option<Vec<u8>>,
        /// Whether its members are shown once more beside it.
        repeats_data: bool,
        warnings: Vec<String>,
    },
    /// JSON without an envelope.
    Bare(Vec<u8>),
    /// The same with another status than 200.
    BareWith(u16, Vec<u8>),
    /// Text of this type.
    Text(&'static str, Vec<u8>),
}

impl Reply {
    /// Returns data in an envelope.
    pub(super) fn data(data: &impl Serialize) -> Self {
        Self::enveloped(Some(json::line(data)), false)
    }

    /// Returns data in an envelope, shown once more beside it.
    pub(super) fn data_and_top(data: &impl Serialize) -> Self {
        Self::enveloped(Some(json::line(data)), true)
    }

    /// Returns an envelope that holds a warning and nothing else.
    pub(super) fn warning(warning: impl Into<String>) -> Self {
        Self::enveloped(None, false).with_warning(warning)
    }

    /// Returns the reply with one more warning. Only data carries any.
    pub(super) fn with_warning(mut self, warning: impl Into<String>) -> Self {
        if let Reply::Data { warnings, .. } = &mut self {
            warnings.push(warning.into());
        }
        self
    }

    /// Returns data as the answer to what goes on elsewhere. Only data says so.
    pub(super) fn accepted(mut self) -> Self {
        if let Reply::Data { is_accepted, .. } = &mut self {
            *is_accepted = true;
        }
        self
    }

    fn enveloped(data: Option<Vec<u8>>, repeats_data: bool) -> Self {
        let data = data.map(|mut data| {
            data.truncate(data.trim_ascii_end().len());
            data
        });
        Reply::Data { is_accepted: false, data, repeats_data, warnings: Vec::new() }
    }

    /// Returns the answer of this mount.
    pub(super) fn into_answer(self, by: AnsweredBy, is_open: bool) -> Answer {
        let raw = |status, content_type: &str, bytes: Vec<u8>| Body::Raw {
            status,
            content_type: content_type.to_owned(),
            bytes: bytes.into(),
        };
        let mut answer = Answer {
            body: Body::Empty,
            secret: None,
            login: None,
            warnings: Vec::new(),
            headers: Vec::new(),
            by,
            is_open,
            status: None,
            repeats_data: false,
        };
        match self {
            Reply::Done => {}
            Reply::Bare(json) => answer.body = raw(OK, JSON, json),
            Reply::BareWith(status, json) => answer.body = raw(status, JSON, json),
            Reply::Text(content_type, text) => answer.body = raw(OK, content_type, text),
            Reply::Data { is_accepted, data, repeats_data, warnings } => {
                answer.body = data.map_or(Body::Empty, |data| Body::Data(data.into()));
                answer.status = Some(if is_accepted { ACCEPTED } else { OK });
                (answer.repeats_data, answer.warnings) = (repeats_data, warnings);
            }
        }
        answer
    }
}
