//! A range of addresses of either family.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use linux::net::nft::Family;

/// `10.244.0.0/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid CIDR address: {0}")]
pub struct NetworkError(String);

pub(crate) fn family_of(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn address(octets: &[u8]) -> IpAddr {
    match octets.first_chunk::<16>() {
        Some(octets) => IpAddr::from(*octets),
        None => IpAddr::from(*octets.first_chunk::<4>().expect("made of an address")),
    }
}

impl Network {
    pub(crate) fn family(self) -> Family {
        family_of(self.address)
    }

    pub(crate) fn mask(self) -> Vec<u8> {
        let mut bits = usize::from(self.prefix);
        let octet = |_| {
            let ones = bits.min(8);
            bits -= ones;
            0xff_u8.checked_shl(8 - ones as u32).unwrap_or(0)
        };
        octets(self.address).iter().map(octet).collect()
    }

    /// The first address, as bytes.
    pub(crate) fn start(self) -> Vec<u8> {
        octets(self.address).iter().zip(self.mask()).map(|(octet, mask)| octet & mask).collect()
    }

    /// The first and the last address.
    pub(crate) fn ends(self) -> (IpAddr, IpAddr) {
        let start = self.start();
        let end: Vec<u8> = start.iter().zip(self.mask()).map(|(octet, mask)| octet | !mask).collect();
        (address(&start), address(&end))
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let parse = || {
            let (address, prefix) = text.trim().split_once('/')?;
            let address: IpAddr = address.parse().ok()?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            let prefix = prefix.parse().ok().filter(|prefix| *prefix <= most)?;
            Some(Self { address, prefix })
        };
        parse().ok_or_else(|| NetworkError(text.to_owned()))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ends().0, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let network: Network = text.parse().expect("a range");
        let (first, last) = network.ends();
        assert_eq!(format!("{network} {first} {last}"), expected);
    }

    #[test]
    fn ranges_of_both_families() {
        check("10.244.3.7/16", "10.244.0.0/16 10.244.0.0 10.244.255.255");
        check("1.2.3.4/32", "1.2.3.4/32 1.2.3.4 1.2.3.4");
        check("0.0.0.0/0", "0.0.0.0/0 0.0.0.0 255.255.255.255");
        check("fd00::5/120", "fd00::/120 fd00:: fd00::ff");
        assert!("1.2.3.4/33".parse::<Network>().is_err());
        assert!("nowhere".parse::<Network>().is_err());
    }
}
