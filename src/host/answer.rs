//! A request's way through the host, and what its outcome means to whoever asked.

use super::{Error, ErrorKind, Inner};
use crate::ident::PluginKind;
use crate::mount::{MountError, MountRecord};
use crate::request::{BackendError, Body, Request, Response};
use crate::runtime::Failure;

impl Inner {
    pub(super) async fn answer(&self, mut request: Request) -> Result<Response, Error> {
        let Some(route) = self.router.find(&request.path) else {
            let text = format!("no handler for route {:?}. route entry not found.", request.path.as_str());
            return Err(Error::new(ErrorKind::NotFound, text));
        };
        request.path = request.path.below(route.prefix_length);
        let granted = self.limits.request_deadline;
        let deadline = request.deadline.map_or(granted, |deadline| deadline.min(granted));
        let answer = route.mount.handle(request, deadline).await;
        let record = route.mount.record();
        answer.and_then(|response| Ok(checked(response, &record)?)).map_err(|error| meaning(error, &record))
    }
}

/// Refuses what no plugin may answer, and leaves out the headers that the mount does not pass on.
fn checked(mut response: Response, record: &MountRecord) -> Result<Response, Failure> {
    let fault = |text: &str| Err(Failure::Trap(text.to_owned()));
    if response.login.is_some() && record.kind != PluginKind::Auth {
        return fault("it answered with a login, which only an auth method may");
    }
    if response.login.is_some() && response.secret.is_some() {
        return fault("it answered with a login and a secret at once");
    }
    if let Body::Raw { status, .. } = &response.body {
        if !(200..600).contains(status) {
            return fault("it answered with a status that HTTP does not have");
        }
        if response.login.is_some() || response.secret.is_some() {
            return fault("raw responses cannot contain secrets or auth");
        }
    }
    if !response.headers.is_empty() {
        let allowed = &record.config.allowed_response_headers;
        response.headers.retain(|(name, _)| allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(name)));
    }
    Ok(response)
}

/// Gives an outcome its kind, and names the mount where the fault is not the caller's.
fn meaning(error: MountError, record: &MountRecord) -> Error {
    let path = &record.path;
    match error {
        MountError::Denied => Error::new(ErrorKind::Denied, "permission denied"),
        MountError::NotStarted(reason) => {
            Error::new(ErrorKind::Unavailable, format!("the mount {path} is disabled: {reason}"))
        }
        MountError::Closing => Error::new(ErrorKind::Unavailable, format!("the mount {path} is being disabled")),
        MountError::Failed(failure) => failed(failure, record),
    }
}

fn failed(failure: Failure, record: &MountRecord) -> Error {
    let (path, plugin) = (&record.path, &record.plugin);
    let (kind, text) = match failure {
        Failure::Backend(error) => return declined(error),
        Failure::Trap(report) => (
            ErrorKind::PluginFault,
            format!("the plugin {plugin} at {path} crashed: {report}. The next request gets a fresh instance"),
        ),
        Failure::Deadline(_) => (
            ErrorKind::DeadlineExceeded,
            format!("the plugin {plugin} at {path} was stopped: {failure}. The next request gets a fresh instance"),
        ),
        Failure::Busy(reason) => {
            return Error::new(ErrorKind::Unavailable, format!("the mount {path} is busy: {reason}"));
        }
        Failure::Host(reason) => (ErrorKind::Internal, format!("the mount {path} could not answer: {reason}")),
    };
    tracing::error!(plugin = plugin.as_str(), mount = path.as_str(), "{text}");
    Error::new(kind, text)
}

fn declined(error: BackendError) -> Error {
    let kind = match &error {
        BackendError::Denied(_) => ErrorKind::Denied,
        BackendError::InvalidRequest(_) => ErrorKind::InvalidRequest,
        BackendError::UnsupportedOperation => ErrorKind::UnsupportedOperation,
        BackendError::UnsupportedPath | BackendError::NotFound(_) => ErrorKind::NotFound,
        BackendError::Conflict(_) => ErrorKind::Conflict,
        BackendError::Unavailable(_) => ErrorKind::Unavailable,
        BackendError::Internal(_) => ErrorKind::Internal,
    };
    Error::new(kind, error.to_string())
}
