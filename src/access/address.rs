//! Which address a client comes from, also behind proxies.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// An address, or all that share its first bits: `10.0.0.0/8`, `::1`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// Text that is no network.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is no address and no network: write 10.1.2.3, 10.0.0.0/8 or fd00::/8")]
pub struct BadNetwork(pub String);

impl Network {
    /// Whether the address lies in it.
    pub fn has(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let other = base.to_bits() ^ address.to_bits();
                other.checked_shr(32 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let other = base.to_bits() ^ address.to_bits();
                other.checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let bad = || BadNetwork(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(bad)?,
            None => most,
        };
        Ok(Self { address, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// The client's address: the peer's, or, where that is a proxy we trust, the last one of `forwarded` (the values of
/// `X-Forwarded-For`, in order) that none of our proxies has. What stands before it anyone can have written.
pub fn client<'a>(
    peer: IpAddr,
    forwarded: impl DoubleEndedIterator<Item = &'a str>,
    trusted: &[Network],
) -> IpAddr {
    let is_ours = |address: IpAddr| trusted.iter().any(|network| network.has(address));
    let mut client = peer.to_canonical();
    let hops = forwarded.rev().flat_map(|line| line.rsplit(','));
    for hop in hops {
        if !is_ours(client) {
            break;
        }
        match hop.trim().parse::<IpAddr>() {
            Ok(address) => client = address.to_canonical(),
            // Nothing before a hop that cannot be read is worth more.
            Err(_) => break,
        }
    }
    client
}

/// What counts as one client: an IPv4 address, or the 64 bits of IPv6 that one subscriber is given (RFC 6177).
pub fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_hold_what_they_say() {
        for (network, within, without) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("10.1.2.3", "::ffff:10.1.2.3", "::1"),
            ("fd00::/8", "fd12::1", "fe80::1"),
            ("::1", "::1", "::2"),
            ("::/0", "2001:db8::1", "1.2.3.4"),
            ("0.0.0.0/0", "1.2.3.4", "::2"),
        ] {
            let network: Network = network.parse().unwrap();
            assert!(network.has(address(within)), "{network} {within}");
            assert!(!network.has(address(without)), "{network} {without}");
            assert_eq!(network.to_string().parse(), Ok(network));
        }
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "a/8",
            "1.2.3.4/",
            "1.2.3.4/-1",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_proxies_of_ours_are_believed() {
        let trusted = ["127.0.0.1".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        for (peer, forwarded, client_is) in [
            ("127.0.0.1", vec![], "127.0.0.1"),
            ("9.9.9.9", vec!["1.1.1.1"], "9.9.9.9"),
            ("127.0.0.1", vec!["1.1.1.1"], "1.1.1.1"),
            ("127.0.0.1", vec!["6.6.6.6, 1.1.1.1"], "1.1.1.1"),
            ("127.0.0.1", vec!["6.6.6.6, 1.1.1.1,10.0.0.7"], "1.1.1.1"),
            ("127.0.0.1", vec!["6.6.6.6", "1.1.1.1", "10.0.0.7"], "1.1.1.1"),
            ("127.0.0.1", vec!["1.1.1.1, unknown, 10.0.0.7"], "10.0.0.7"),
            ("127.0.0.1", vec!["nonsense"], "127.0.0.1"),
            ("::ffff:127.0.0.1", vec!["2001:db8::5"], "2001:db8::5"),
        ] {
            let told = client(address(peer), forwarded.iter().copied(), &trusted);
            assert_eq!(told, address(client_is), "{peer} {forwarded:?}");
        }
        assert_eq!(
            client(address("127.0.0.1"), ["1.1.1.1"].into_iter(), &[]),
            address("127.0.0.1"),
            "nobody is trusted where nothing is said"
        );
    }

    #[test]
    fn one_subscriber_is_one_client() {
        assert_eq!(group(address("2001:db8:1:2:3::4")), address("2001:db8:1:2::"));
        assert_eq!(group(address("::ffff:1.2.3.4")), address("1.2.3.4"));
    }
}
