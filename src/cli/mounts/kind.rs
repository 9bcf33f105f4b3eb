//! What commands about secrets engines and about auth methods do not share: their words, and where they are asked for.

/// What is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Auth,
    Secrets,
}

impl Kind {
    /// Returns what people call such a mount.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Kind::Auth => "auth method",
            Kind::Secrets => "secrets engine",
        }
    }

    /// Returns the path of the API that lists such mounts, and below which each is enabled and disabled.
    pub(super) fn table(self) -> &'static str {
        match self {
            Kind::Auth => "sys/auth",
            Kind::Secrets => "sys/mounts",
        }
    }

    /// Returns the whole path of a mount, as it is tuned, moved and asked by.
    pub(super) fn whole(self, path: &str) -> String {
        match self {
            Kind::Auth => format!("auth/{path}"),
            Kind::Secrets => path.to_owned(),
        }
    }
}
