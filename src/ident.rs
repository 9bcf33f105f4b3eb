//! Names, paths, versions and digests: every identifier is a type of its own, made only by parsing what was typed.
//!
//! Parsing is where hostile input stops. A value of these types is well formed wherever it turns up later, so no other
//! module checks again, and none can mix up two identifiers.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Longest plugin name, in bytes. Names become parts of storage keys, accessors and log lines.
pub const PLUGIN_NAME_BYTES_MAX: usize = 128;

/// Longest mount path, in bytes, with its trailing slash.
pub const MOUNT_PATH_BYTES_MAX: usize = 512;

/// Longest request path, in bytes. HTTP servers commonly stop at 8 KiB for the whole request line; half of it leaves
/// room for a query.
pub const REQUEST_PATH_BYTES_MAX: usize = 4096;

/// Longest command, in bytes: the longest file name that Linux file systems take.
pub const COMMAND_BYTES_MAX: usize = 255;

/// Why a text is not the identifier it was meant to be. The message names the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct IdentError {
    message: String,
}

impl IdentError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

// ----------------------------------------------------------------------------------------------------------------
// PluginKind

/// What a plugin is for, as Vault's catalog knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PluginKind {
    /// An auth method.
    Auth,
    /// A secrets engine.
    Secret,
}

impl PluginKind {
    /// Every kind, in the catalog's order.
    pub const ALL: [PluginKind; 2] = [PluginKind::Auth, PluginKind::Secret];

    /// Returns the word used in paths and bodies.
    pub fn as_str(self) -> &'static str {
        match self {
            PluginKind::Auth => "auth",
            PluginKind::Secret => "secret",
        }
    }

    /// Returns where a plugin of this kind is mounted that listings show under a name: `auth/userpass/` for the auth
    /// method `userpass/`, and for a secrets engine the name itself.
    pub fn mount_path(self, name: &MountPath) -> Result<MountPath, IdentError> {
        match self {
            PluginKind::Auth => format!("{AUTH_METHODS}{name}").parse(),
            PluginKind::Secret => Ok(name.clone()),
        }
    }
}

impl fmt::Display for PluginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PluginKind {
    type Err = IdentError;

    fn from_str(typed: &str) -> Result<Self, IdentError> {
        match typed {
            "auth" => Ok(PluginKind::Auth),
            "secret" => Ok(PluginKind::Secret),
            _ => Err(IdentError::new(format!("{typed:?} is not a supported plugin type"))),
        }
    }
}

// ----------------------------------------------------------------------------------------------------------------
// PluginName

/// A plugin's name in the catalog: segments of letters, digits, `.`, `_` and `-`, joined by `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PluginName(Arc<str>);

impl PluginName {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PluginName {
    type Err = IdentError;

    fn from_str(typed: &str) -> Result<Self, IdentError> {
        if typed.is_empty() {
            return Err(IdentError::new("missing plugin name"));
        }
        if typed.len() > PLUGIN_NAME_BYTES_MAX {
            return Err(IdentError::new(format!("plugin name is longer than {PLUGIN_NAME_BYTES_MAX} bytes")));
        }
        let segment_is_good = |segment: &str| {
            !matches!(segment, "" | "." | "..")
                && segment.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
        };
        if !typed.split('/').all(segment_is_good) {
            return Err(IdentError::new(format!(
                "plugin name {typed:?} may hold letters, digits, '.', '_' and '-', in segments joined by '/'"
            )));
        }
        Ok(Self(typed.into()))
    }
}

// -------------------------------------------------------------------------------------------------------------
// PluginVersion

/// The longest version, in bytes. It is part of every line that its plugin logs and of every metric; a version with a
/// commit's hash and a date in it has some 70.
const VERSION_BYTES_MAX: usize = 128;

/// A plugin's semantic version, shown in Vault's canonical form with a leading `v`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PluginVersion(semver::Version);

impl PluginVersion {
    /// Returns the version that a built-in plugin has in the catalog: its own, with the metadata `builtin.cofferdam`.
    ///
    /// # Errors
    ///
    /// What is no semantic version, or has metadata of its own.
    pub fn builtin(own: &str) -> Result<Self, IdentError> {
        let own: Self = own.parse()?;
        match own.0.build.is_empty() {
            true => format!("{own}+builtin.cofferdam").parse(),
            false => Err(IdentError::new(format!("version \"{own}\" of a built-in plugin must have no metadata"))),
        }
    }

    /// Returns whether its metadata says that the plugin is built in. Nothing can be registered by such a version.
    pub fn is_builtin(&self) -> bool {
        self.0.build.split('.').any(|part| part == "builtin")
    }
}

impl FromStr for PluginVersion {
    type Err = IdentError;

    fn from_str(typed: &str) -> Result<Self, IdentError> {
        if typed.len() > VERSION_BYTES_MAX {
            let start = &typed[..typed.floor_char_boundary(VERSION_BYTES_MAX / 4)];
            return Err(IdentError::new(format!(
                "the version that begins with {start:?} is longer than {VERSION_BYTES_MAX} bytes"
            )));
        }
        let version =
            semver::Version::parse(&completed(typed.strip_prefix('v').unwrap_or(typed))).map_err(|reason| {
                IdentError::new(format!("version {typed:?} is not a valid semantic version: {reason}"))
            })?;
        Ok(Self(version))
    }
}

/// Returns a version with the zeros that Vault lets people leave out: `1.2` is `1.2.0`.
fn completed(typed: &str) -> String {
    let (core, rest) = typed.split_at(typed.find(['-', '+']).unwrap_or(typed.len()));
    let zeros = match core.split('.').count() {
        1 if !core.is_empty() => ".0.0",
        2 => ".0",
        _ => "",
    };
    format!("{core}{zeros}{rest}")
}

impl fmt::Display for PluginVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

// -------------------------------------------------------------------------------------------------------------------
// Command

/// The name of a plugin's file, directly inside the plugin directory.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Command(Arc<str>);

impl Command {
    /// Returns the file name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Quoted, as messages show it.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl FromStr for Command {
    type Err = IdentError;

    fn from_str(typed: &str) -> Result<Self, IdentError> {
        let refuse = |why: &str| Err(IdentError::new(format!("command {typed:?} {why}")));
        if typed.is_empty() {
            return Err(IdentError::new("missing command value"));
        }
        if typed.split('/').any(|segment| segment == "..") {
            return refuse("is not a file name: path cannot contain parent references");
        }
        if typed.contains('/') || typed == "." {
            return refuse("is not a file name: a plugin's file lies directly inside the plugin directory");
        }
        if typed.len() > COMMAND_BYTES_MAX {
            return refuse("is longer than a file name can be");
        }
        if typed.chars().any(char::is_control) {
            return refuse("holds a control character");
        }
        Ok(Self(typed.into()))
    }
}

// --------------------------------------------------------------------------------------------------------------------
// Digest

/// The SHA-256 digest of a plugin's file, shown in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// Returns the digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Returns the digest as its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = IdentError;

    fn from_str(typed: &str) -> Result<Self, IdentError> {
        if typed.is_empty() {
            return Err(IdentError::new("missing SHA-256 value"));
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(typed, &mut bytes).map_err(|reason| {
            IdentError::new(format!(
                "Could not decode SHA-256 value from Hex: {reason} (64 hexadecimal digits, as `sha256sum FILE` prints them)"
            ))
        })?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// ----------------------------------------------------------------------------------------------------------------
// MountPath

/// What auth methods are mounted below, and nothing else is.
const AUTH_METHODS: &str = "auth/";

/// Where a plugin is mounted, with a trailing slash and without a leading one: `my-secrets/`, `team/a/kv/`,
/// `auth/userpass/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MountPath(Arc<str>);

impl MountPath {
    /// Returns the path with its trailing slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns a path for a plugin that is asked what it is, before it has a mount.
    #[cfg(feature = "process")]
    pub(crate) fn nowhere() -> Self {
        Self("nowhere/".into())
    }

    /// Returns what can be mounted here: an auth method below `auth/`, a secrets engine anywhere else.
    pub fn kind(&self) -> PluginKind {
        if self.0.starts_with(AUTH_METHODS) { PluginKind::Auth } else { PluginKind::Secret }
    }

    /// Returns the path as listings of its kind show it: an auth method's without the `auth/`.
    pub fn name(&self) -> &str {
        self.0.strip_prefix(AUTH_METHODS).filter(|name| !name.is_empty()).unwrap_or(&self.0)
    }

    /// Returns the path's prefixes that end in a slash, shortest first, the path itself last.
    pub fn prefixes(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| &self.0[..=at])
    }
}

impl FromStr for MountPath {
    type Err = IdentError;

    fn from_str(typed: &str) -> Result<Self, IdentError> {
        let refuse = |why: &str| Err(IdentError::new(format!("mount path {typed:?} {why}")));
        let trimmed = typed.strip_prefix('/').unwrap_or(typed);
        let trimmed = trimmed.strip_suffix('/').unwrap_or(trimmed);
        if trimmed.is_empty() {
            return refuse("is empty");
        }
        if trimmed.len() >= MOUNT_PATH_BYTES_MAX {
            return Err(IdentError::new(format!("mount path is longer than {MOUNT_PATH_BYTES_MAX} bytes")));
        }
        if trimmed.chars().any(|c| c.is_control() || c == '\u{feff}') {
            return refuse("cannot contain non-printable characters");
        }
        if trimmed.split('/').any(|segment| segment != segment.trim()) {
            return refuse("cannot contain leading or trailing whitespace in a segment");
        }
        if trimmed.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return refuse("does not match its cleaned form: no segment may be empty, '.' or '..'");
        }
        Ok(Self(format!("{trimmed}/").into()))
    }
}

/// Lets a map be asked with a part of a request's path. Hash and order are those of the text.
impl std::borrow::Borrow<str> for MountPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

// --------------------------------------------------------------------------------------------------------------
// RequestPath

/// What a request asks for, without a leading slash: the whole path at the door, the part below the mount inside it.
///
/// It holds no `.` or `..` segment and no control character (the traversal class of CVE-2026-3605). Empty segments may
/// occur: what they mean is the plugin's affair.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestPath(String);

impl RequestPath {
    /// Returns the path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the path of a mount itself, as its plugin sees it.
    pub(crate) fn root() -> Self {
        Self(String::new())
    }

    /// Returns what is left below a prefix of `length` bytes, which ends at a segment boundary.
    pub(crate) fn below(mut self, length: usize) -> Self {
        self.0.drain(..length.min(self.0.len()));
        self
    }
}

impl FromStr for RequestPath {
    type Err = IdentError;

    fn from_str(typed: &str) -> Result<Self, IdentError> {
        let path = typed.strip_prefix('/').unwrap_or(typed);
        if path.len() > REQUEST_PATH_BYTES_MAX {
            return Err(IdentError::new(format!("request path is longer than {REQUEST_PATH_BYTES_MAX} bytes")));
        }
        if path.chars().any(char::is_control) {
            return Err(IdentError::new(format!("request path {typed:?} holds a control character")));
        }
        if path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(IdentError::new(format!("request path {typed:?} holds a '.' or '..' segment")));
        }
        Ok(Self(path.to_owned()))
    }
}

// ----------------------------------------------------------------------------------------------------- MountUuid and
// Accessor

/// A mount's identity for as long as it exists: its storage lies below it, so that moving a mount moves no data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MountUuid(uuid::Uuid);

impl MountUuid {
    /// Returns a new random identity.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4())
    }
}

impl FromStr for MountUuid {
    type Err = IdentError;

    fn from_str(typed: &str) -> Result<Self, IdentError> {
        typed.parse().map(Self).map_err(|_| IdentError::new(format!("{typed:?} is not a UUID")))
    }
}

impl fmt::Display for MountUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// A mount's short public name, as Vault makes it: `<type>_<8 hex digits>`, with `auth_` before it for auth methods.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Accessor(Arc<str>);

impl Accessor {
    /// Returns a new random accessor for a mount of this plugin.
    pub fn random(kind: PluginKind, name: &PluginName) -> Self {
        let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
        let random = (random >> 32) as u32;
        match kind {
            PluginKind::Auth => Self(format!("auth_{name}_{random:08x}").into()),
            PluginKind::Secret => Self(format!("{name}_{random:08x}").into()),
        }
    }
}

impl fmt::Display for Accessor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Accessors are made by the host, so one that was stored is taken as it is.
impl From<String> for Accessor {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<Accessor> for String {
    fn from(accessor: Accessor) -> Self {
        accessor.0.as_ref().to_owned()
    }
}

impl From<RequestPath> for String {
    fn from(path: RequestPath) -> Self {
        path.0
    }
}

// --------------------------------------------------------------------------------------------------------------
// conversions

macro_rules! text_form {
    ($($type:ident),*) => {$(
        impl TryFrom<String> for $type {
            type Error = IdentError;

            fn try_from(text: String) -> Result<Self, IdentError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.to_string()
            }
        }
    )*};
}

macro_rules! display_as_str {
    ($($type:ident),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )*};
}

text_form!(PluginName, PluginVersion, Command, Digest, MountPath);
display_as_str!(PluginName, Command, MountPath, RequestPath);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused<T: FromStr<Err = IdentError> + fmt::Debug>(typed: &str, because: &str) {
        let error = typed.parse::<T>().expect_err("the text should be refused").to_string();
        assert!(error.contains(because), "{typed:?} was refused with {error:?}, expected {because:?}");
    }

    #[test]
    fn auth_methods_are_named_below_auth() {
        for (kind, name, path) in [
            (PluginKind::Auth, "userpass", "auth/userpass/"),
            (PluginKind::Auth, "/team/a/", "auth/team/a/"),
            (PluginKind::Auth, "auth", "auth/auth/"),
            (PluginKind::Secret, "kv", "kv/"),
            (PluginKind::Secret, "authors", "authors/"),
        ] {
            let name: MountPath = name.parse().unwrap();
            let whole = kind.mount_path(&name).unwrap();
            assert_eq!((whole.as_str(), whole.kind(), whole.name()), (path, kind, name.as_str()));
        }
        let longest = "a".repeat(MOUNT_PATH_BYTES_MAX - 1).parse().unwrap();
        assert!(PluginKind::Auth.mount_path(&longest).is_err());
        // What nothing can be mounted at has a name all the same.
        assert_eq!("auth".parse::<MountPath>().unwrap().name(), "auth/");
    }

    #[test]
    fn mount_paths_are_sanitised_as_vault_does() {
        for (typed, path) in [("a", "a/"), ("/a/", "a/"), ("a/b", "a/b/"), ("my-secrets", "my-secrets/")] {
            assert_eq!(typed.parse::<MountPath>().unwrap().as_str(), path);
        }
        for typed in ["", "/", "//", "a//b", "a/../b", "..", "./a"] {
            assert!(typed.parse::<MountPath>().is_err(), "{typed:?}");
        }
        refused::<MountPath>("a\u{7}b", "non-printable");
        refused::<MountPath>("a /b", "whitespace");
        refused::<MountPath>(&"x".repeat(600), "longer than");
    }

    #[test]
    fn commands_name_a_file_directly_inside_the_directory() {
        assert_eq!("hello.wasm".parse::<Command>().unwrap().as_str(), "hello.wasm");
        refused::<Command>("../x", "parent references");
        refused::<Command>("a/../x", "parent references");
        refused::<Command>("sub/x", "directly inside");
        refused::<Command>("/etc/passwd", "directly inside");
        refused::<Command>("..", "parent references");
        refused::<Command>("a\nb", "control character");
        refused::<Command>("", "missing command");
    }

    #[test]
    fn versions_are_canonical_and_know_what_is_built_in() {
        assert_eq!("1.2.3".parse::<PluginVersion>().unwrap().to_string(), "v1.2.3");
        assert_eq!("v1.2.3+meta".parse::<PluginVersion>().unwrap().to_string(), "v1.2.3+meta");
        let builtin = PluginVersion::builtin("v1.2.3").unwrap();
        assert_eq!(builtin, "1.2.3+builtin.cofferdam".parse().unwrap());
        for (version, is_builtin) in [("1.2.3+a.builtin", true), ("1.2.3-builtin+builtins", false), ("1.2.3", false)] {
            assert_eq!(version.parse::<PluginVersion>().unwrap().is_builtin(), is_builtin, "{version}");
        }
        assert!(builtin.is_builtin() && PluginVersion::builtin("1.2.3+a").is_err());
        assert_eq!("1.2-rc1".parse::<PluginVersion>().unwrap().to_string(), "v1.2.0-rc1");
        assert_eq!("v1+meta".parse::<PluginVersion>().unwrap().to_string(), "v1.0.0+meta");
        for typed in ["", "v", "-rc1", "1.", "1.x", "1.2.3.4"] {
            refused::<PluginVersion>(typed, "not a valid semantic version");
        }
    }

    #[test]
    fn request_paths_refuse_traversal() {
        assert_eq!("/a/b".parse::<RequestPath>().unwrap().as_str(), "a/b");
        assert_eq!("mount/a/b".parse::<RequestPath>().unwrap().below(6).as_str(), "a/b");
        refused::<RequestPath>("a/../sys", "'..' segment");
        refused::<RequestPath>("a/\u{1b}[2J", "control character");
    }

    #[test]
    fn digests_are_hexadecimal() {
        let digest = Digest::of(b"");
        assert_eq!(digest.to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(digest.to_string().to_uppercase().parse::<Digest>().unwrap(), digest);
        refused::<Digest>("abc", "Could not decode SHA-256 value from Hex");
        refused::<Digest>("", "missing SHA-256");
    }

    #[test]
    fn accessors_look_like_vaults() {
        let name: PluginName = "passthrough-plugin".parse().unwrap();
        let accessor = Accessor::random(PluginKind::Auth, &name).to_string();
        let random = accessor.strip_prefix("auth_passthrough-plugin_").unwrap();
        assert!(random.len() == 8 && random.chars().all(|c| c.is_ascii_hexdigit()), "{accessor}");
    }
}
