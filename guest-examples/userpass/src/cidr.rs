//! Blocks of addresses: from where somebody may log in.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use cofferdam_sdk::Error;

/// A block of addresses, such as `10.0.0.0/8`; a lone address is a block of one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Block {
    address: IpAddr,
    prefix: u32,
}

impl Block {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            // `parse` alone takes a sign.
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
            Some(_) => return None,
            None => bits,
        };
        (prefix <= bits).then_some(Self { address, prefix })
    }

    fn contains(self, address: IpAddr) -> bool {
        let (bits, ours, theirs) = match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => (32, u128::from(ours.to_bits()), u128::from(theirs.to_bits())),
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => (128, ours.to_bits(), theirs.to_bits()),
            _ => return false,
        };
        // All bits behind the prefix go; a shift by all 128 of them has no result, and nothing is left to differ.
        (ours ^ theirs).checked_shr(bits - self.prefix).unwrap_or(0) == 0
    }
}

/// A block of one is written without its prefix, as Vault does.
impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { address, prefix } = self;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        if *prefix == bits { write!(f, "{address}") } else { write!(f, "{address}/{prefix}") }
    }
}

/// Reads blocks, and returns them as they are stored and shown.
pub(crate) fn parse(texts: &[String]) -> Result<Vec<String>, Error> {
    let texts = texts.iter().map(|text| text.trim());
    let block = |text: &str| {
        let block = Block::parse(text).map(|block| block.to_string());
        block.ok_or_else(|| {
            Error::InvalidRequest(format!("error parsing address {text:?}: not an address or a CIDR block"))
        })
    };
    texts.map(block).collect()
}

/// Tells whether an address, with its port or without, is in one of the blocks. An address that is not known is in
/// none.
pub(crate) fn allows(blocks: &[String], remote: &str) -> bool {
    let address = remote.parse::<SocketAddr>().map(|remote| remote.ip()).or_else(|_| remote.parse::<IpAddr>());
    let Ok(address) = address else { return false };
    // What came over IPv6 as IPv4 came over IPv4.
    let address = address.to_canonical();
    blocks.iter().filter_map(|block| Block::parse(block)).any(|block| block.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_shown_as_vault_shows_them() {
        let parsed = |text: &str| parse(&[text.to_owned()]).ok().map(|blocks| blocks[0].clone());
        for (text, expected) in [
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            (" 10.0.0.1 ", Some("10.0.0.1")),
            ("10.0.0.1/32", Some("10.0.0.1")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("2001:db8::/32", Some("2001:db8::/32")),
            ("::1", Some("::1")),
            ("10.0.0.0/33", None),
            ("10.0.0.0/+8", None),
            ("10.0.0.0/", None),
            ("::/129", None),
            ("example.com", None),
            ("", None),
        ] {
            assert_eq!(parsed(text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn an_address_is_in_a_block_or_not() {
        for (block, remote, expected) in [
            ("10.0.0.0/8", "10.200.3.4:4711", true),
            ("10.0.0.0/8", "11.0.0.1:4711", false),
            ("10.1.2.3/8", "10.9.9.9", true),
            ("10.0.0.1", "10.0.0.1:1", true),
            ("10.0.0.1", "10.0.0.2:1", false),
            ("10.0.0.0/8", "[::ffff:10.0.0.1]:80", true),
            ("0.0.0.0/0", "192.0.2.1:1", true),
            ("0.0.0.0/0", "[2001:db8::1]:1", false),
            ("::/0", "[2001:db8::1]:1", true),
            ("2001:db8::/32", "[2001:db8:1::1]:1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("0.0.0.0/0", "", false),
            ("0.0.0.0/0", "nowhere", false),
        ] {
            assert_eq!(allows(&[block.to_owned()], remote), expected, "{remote} in {block}");
        }
    }
}
