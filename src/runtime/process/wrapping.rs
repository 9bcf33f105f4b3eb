//! Response wrapping, just as far as plugins from before automatic mutual TLS need it.
//!
//! The host makes such a plugin's certificate and key, keeps them here, and gives the plugin a token: a JWT that also
//! says where to redeem it. The plugin reads the address without verifying anything and asks there, once. Nothing is
//! stored, and a token means nothing to another host or after a restart: whoever would redeem it is a child of this
//! process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::encoding::{AsDer as _, EcPrivateKeyRfc5915Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P521_SHA512_FIXED, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cofferdam_proto::tls::{Identity, TlsError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

/// Tokens that wait to be redeemed. A launch makes one, and it lives a minute: this many would take a host that starts
/// eight plugins a second.
const OUTSTANDING_MAX: usize = 512;

/// The longest token that is looked at. Ours have some 500 bytes, most of them the address.
const TOKEN_BYTES_MAX: usize = 8 << 10;

/// What is wrapped, and the key that signs for it. Not `Debug`: it holds keys.
pub(crate) struct Wrapping {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Made with the first token: most hosts never need one.
    key: Option<EcdsaKeyPair>,
    /// By the claim `jti`.
    outstanding: HashMap<String, Wrapped>,
}

struct Wrapped {
    data: Map<String, Value>,
    expires: Instant,
}

/// What a token says, as Vault writes it.
#[derive(Serialize)]
struct Claims<'a> {
    accessor: &'a str,
    addr: &'a str,
    exp: u64,
    iat: u64,
    jti: &'a str,
    nbf: u64,
    r#type: &'static str,
}

impl Wrapping {
    /// Returns a place with nothing in it.
    pub(crate) fn new() -> Self {
        Self { state: Mutex::default() }
    }

    /// Keeps some data for whoever brings the token, once, within this time.
    ///
    /// # Errors
    ///
    /// Says why there is no token: too many wait already, or the system has no key to give.
    pub(crate) fn wrap(&self, data: Map<String, Value>, api_address: &str, ttl: Duration) -> Result<String, String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.drop_expired();
        if state.outstanding.len() >= OUTSTANDING_MAX {
            return Err(format!("{OUTSTANDING_MAX} wrapping tokens wait to be redeemed already"));
        }
        let id = random_id();
        let token = sign(state.key()?, &id, api_address, ttl)?;
        state.outstanding.insert(id, Wrapped { data, expires: Instant::now() + ttl });
        Ok(token)
    }

    /// Returns what a token stands for, and forgets it. `None` for a token that is not ours, is too old, or was
    /// redeemed.
    pub(crate) fn unwrap(&self, token: &str) -> Option<Map<String, Value>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.drop_expired();
        let id = verified_id(state.key.as_ref()?, token)?;
        state.outstanding.remove(&id).map(|wrapped| wrapped.data)
    }
}

impl State {
    fn drop_expired(&mut self) {
        let now = Instant::now();
        self.outstanding.retain(|_, wrapped| now < wrapped.expires);
    }

    fn key(&mut self) -> Result<&EcdsaKeyPair, String> {
        if self.key.is_none() {
            let made = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING);
            self.key = Some(made.map_err(|_| "no key could be made to sign wrapping tokens with")?);
        }
        self.key.as_ref().ok_or_else(|| "there is no key to sign wrapping tokens with".to_owned())
    }
}

/// Makes the certificate of one launch, for a random name as Vault's are.
pub(crate) fn legacy_identity() -> Result<Identity, TlsError> {
    Identity::generate(&uuid::Uuid::new_v4().to_string())
}

/// Returns what a plugin unwraps: the certificate and its key, as Go's SDK parses them.
///
/// # Errors
///
/// Says that the key cannot be written so, which no key of [`legacy_identity`] does.
pub(crate) fn legacy_data(identity: &Identity) -> Result<Map<String, Value>, String> {
    let sec1 = sec1_of(identity.key_pkcs8())?;
    let data = json!({
        "ServerCert": STANDARD.encode(identity.certificate()),
        "ServerKey": STANDARD.encode(sec1.as_ref()),
    });
    match data {
        Value::Object(data) => Ok(data),
        _ => Ok(Map::new()),
    }
}

/// Rewrites a P-521 key from PKCS#8 as the bare `ECPrivateKey` of SEC 1, the only form that Go's `ParseECPrivateKey`
/// takes.
fn sec1_of(pkcs8: &[u8]) -> Result<EcPrivateKeyRfc5915Der<'static>, String> {
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P521_SHA512_FIXED_SIGNING, pkcs8).map_err(|error| error.to_string())?;
    key.private_key().as_der().map_err(|_| "the key cannot be written".to_owned())
}

/// Returns a signed token: `header.claims.signature`, each in base64 for URLs.
fn sign(key: &EcdsaKeyPair, id: &str, api_address: &str, ttl: Duration) -> Result<String, String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let claims = Claims {
        accessor: &random_id(),
        addr: api_address,
        exp: now.saturating_add(ttl.as_secs()),
        iat: now,
        jti: id,
        nbf: now,
        r#type: "wrapping",
    };
    let claims = serde_json::to_vec(&claims).map_err(|error| error.to_string())?;
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES512","typ":"JWT"}"#);
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes());
    let signature = signature.map_err(|_| "a wrapping token cannot be signed".to_owned())?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
}

/// Returns the claim `jti` of a token that this key has signed. The header is not asked for the algorithm: there is
/// one.
fn verified_id(key: &EcdsaKeyPair, token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Id {
        jti: String,
    }
    let token = Some(token.trim()).filter(|token| token.len() <= TOKEN_BYTES_MAX)?;
    let (signed, signature) = token.rsplit_once('.')?;
    let (_, claims) = signed.split_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let public = UnparsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, key.public_key().as_ref());
    public.verify(signed.as_bytes(), &signature).ok()?;
    let claims: Id = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    Some(claims.jti)
}

fn random_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn some_data() -> Map<String, Value> {
        Map::from_iter([("a".to_owned(), json!(1))])
    }

    #[tokio::test]
    async fn a_token_is_redeemed_once() {
        let wrapping = Wrapping::new();
        assert_eq!(wrapping.unwrap("a.b.c"), None);
        let token = wrapping.wrap(some_data(), "https://127.0.0.1:8200", MINUTE).unwrap();
        let other = wrapping.wrap(Map::new(), "https://127.0.0.1:8200", MINUTE).unwrap();
        assert_eq!(wrapping.unwrap(&format!(" {token}\n")), Some(some_data()));
        assert_eq!(wrapping.unwrap(&token), None);
        assert_eq!(wrapping.unwrap(&other), Some(Map::new()));
        assert_eq!(Wrapping::new().unwrap(&other), None);
    }

    #[tokio::test]
    async fn a_token_says_what_vaults_says() {
        let token = Wrapping::new().wrap(some_data(), "https://127.0.0.1:8200", MINUTE).unwrap();
        let parts: Vec<_> = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
        assert_eq!(parts[0], br#"{"alg":"ES512","typ":"JWT"}"#);
        // Two numbers of 521 bits.
        assert_eq!(parts[2].len(), 132);
        let claims: Map<String, Value> = serde_json::from_slice(&parts[1]).unwrap();
        let names: Vec<_> = claims.keys().map(String::as_str).collect();
        assert_eq!(names, ["accessor", "addr", "exp", "iat", "jti", "nbf", "type"]);
        assert_eq!((&claims["addr"], &claims["type"]), (&json!("https://127.0.0.1:8200"), &json!("wrapping")));
        assert_eq!(claims["exp"].as_u64().unwrap(), claims["iat"].as_u64().unwrap() + 60);
        assert!(!String::from_utf8_lossy(&parts[1]).contains("\"a\""), "the data stays here");
    }

    #[tokio::test]
    async fn a_token_that_was_changed_is_worth_nothing() {
        let wrapping = Wrapping::new();
        let token = wrapping.wrap(some_data(), "http://a", MINUTE).unwrap();
        let stranger = Wrapping::new();
        let foreign = stranger.wrap(some_data(), "http://a", MINUTE).unwrap();
        let (claims, signature) = (token.rsplit_once('.').unwrap().0, foreign.rsplit_once('.').unwrap().1);
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        let bare = claims.split_once('.').unwrap().1;
        for changed in [
            "",
            ".",
            "..",
            "...",
            &foreign,
            &format!("{claims}.{signature}"),
            &format!("{claims}."),
            &format!("{none}.{bare}."),
            &format!("x{token}"),
            &format!("{token}.{signature}"),
            &token[..token.len() - 4],
            &"a".repeat(TOKEN_BYTES_MAX + 1),
        ] {
            assert_eq!(wrapping.unwrap(changed), None, "{changed}");
        }
        assert_eq!(wrapping.unwrap(&token), Some(some_data()));
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_expire_and_are_bounded() {
        let wrapping = Wrapping::new();
        let token = wrapping.wrap(some_data(), "http://a", MINUTE).unwrap();
        tokio::time::advance(MINUTE).await;
        assert_eq!(wrapping.unwrap(&token), None);
        for _ in 0..OUTSTANDING_MAX {
            wrapping.wrap(Map::new(), "http://a", MINUTE).unwrap();
        }
        let refused = wrapping.wrap(Map::new(), "http://a", MINUTE).unwrap_err();
        assert_eq!(refused, "512 wrapping tokens wait to be redeemed already");
        tokio::time::advance(MINUTE).await;
        assert!(wrapping.wrap(Map::new(), "http://a", MINUTE).is_ok());
        assert_eq!(wrapping.state.lock().unwrap().outstanding.len(), 1);
    }

    #[test]
    fn the_key_is_the_certificates_in_the_form_that_go_parses() {
        let identity = legacy_identity().unwrap();
        assert!(uuid::Uuid::parse_str(identity.name()).is_ok());
        let data = legacy_data(&identity).unwrap();
        let part = |name: &str| STANDARD.decode(data[name].as_str().unwrap()).unwrap();
        assert_eq!(part("ServerCert"), identity.certificate().as_ref());
        let sec1 = part("ServerKey");
        // SEQUENCE, version 1, the number in 66 bytes, and [0] with the curve's name: secp521r1.
        assert_eq!(sec1[..3], [0x30, 0x81, 0xdc]);
        assert_eq!(sec1[3..8], [0x02, 0x01, 0x01, 0x04, 0x42]);
        assert_eq!(sec1[74..83], [0xa0, 0x07, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23]);
        let read = EcdsaKeyPair::from_private_key_der(&ECDSA_P521_SHA512_FIXED_SIGNING, &sec1).unwrap();
        let public = read.public_key().as_ref();
        let certificate = identity.certificate();
        assert!(certificate.windows(public.len()).any(|window| window == public));
    }
}
