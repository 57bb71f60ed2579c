//! Which addresses are taken. Knows nothing of Services.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use stdx::Random;

/// Addresses and ports that belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    pub addresses: BTreeSet<Ipv4Addr>,
    pub ports: BTreeSet<u16>,
}

/// Why an address or port cannot be had. The texts are upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("provided IP is already allocated")]
    AddressTaken,
    #[error("the provided IP is not in the valid range. The range of valid IPs is {network}/{prefix}")]
    AddressOutside { network: Ipv4Addr, prefix: u8 },
    #[error("range is full")]
    Full,
    #[error("provided port is already allocated")]
    PortTaken,
    #[error("provided port is not in the valid range. The range of valid ports is {first}-{last}")]
    PortOutside { first: u16, last: u16 },
}

/// One network of addresses and one range of ports.
#[derive(Debug)]
pub struct Pool {
    network: u32,
    prefix: u8,
    ports: (u16, u16),
    taken: Taken,
}

impl Taken {
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.ports.is_empty()
    }

    pub fn without(&self, other: &Self) -> Self {
        Self {
            addresses: self.addresses.difference(&other.addresses).copied().collect(),
            ports: self.ports.difference(&other.ports).copied().collect(),
        }
    }
}

impl Pool {
    pub fn new((network, prefix): (Ipv4Addr, u8), ports: (u16, u16)) -> Self {
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        Self { network: u32::from(network) & mask, prefix, ports, taken: Taken::default() }
    }

    pub fn mark(&mut self, taken: &Taken) {
        self.taken.addresses.extend(&taken.addresses);
        self.taken.ports.extend(&taken.ports);
    }

    pub fn release(&mut self, taken: &Taken) {
        for address in &taken.addresses {
            self.taken.addresses.remove(address);
        }
        for port in &taken.ports {
            self.taken.ports.remove(port);
        }
    }

    /// Addresses that can be given out: all but the network's own and the broadcast address.
    fn size(&self) -> u32 {
        1u32.checked_shl(32 - u32::from(self.prefix)).map_or(u32::MAX, |all| all).saturating_sub(2)
    }

    pub fn take_address(&mut self, address: Ipv4Addr) -> Result<(), Refusal> {
        let offset = u32::from(address).wrapping_sub(self.network);
        if offset == 0 || offset > self.size() {
            return Err(Refusal::AddressOutside { network: self.network.into(), prefix: self.prefix });
        }
        if self.taken.addresses.insert(address) { Ok(()) } else { Err(Refusal::AddressTaken) }
    }

    /// A free address, outside of the low band (which people number by hand) as long as there is one.
    pub fn any_address(&mut self, random: &Random) -> Result<Ipv4Addr, Refusal> {
        let size = self.size();
        // Upstream: min(max(16, size / 16), 256).
        let low = (size / 16).clamp(16, 256).min(size);
        let found = self.free_address(low, size, random).or_else(|| self.free_address(0, low, random));
        let address = found.ok_or(Refusal::Full)?;
        self.taken.addresses.insert(address);
        Ok(address)
    }

    /// A free address with an offset in `(from, to]`, beginning anywhere.
    fn free_address(&self, from: u32, to: u32, random: &Random) -> Option<Ipv4Addr> {
        let width = to.saturating_sub(from);
        let start = random.below(u64::from(width)) as u32;
        (0..width)
            .map(|step| Ipv4Addr::from(self.network + from + 1 + (start + step) % width))
            .find(|address| !self.taken.addresses.contains(address))
    }

    pub fn take_port(&mut self, port: u16) -> Result<(), Refusal> {
        let (first, last) = self.ports;
        if port < first || port > last {
            return Err(Refusal::PortOutside { first, last });
        }
        if self.taken.ports.insert(port) { Ok(()) } else { Err(Refusal::PortTaken) }
    }

    /// A free port, outside of the low band as long as there is one.
    pub fn any_port(&mut self, random: &Random) -> Result<u16, Refusal> {
        let (first, last) = self.ports;
        let size = last - first + 1;
        // Upstream: min(max(16, size / 32), 128).
        let low = (size / 32).clamp(16, 128).min(size);
        let found = self
            .free_port(first + low, last, random)
            .or_else(|| self.free_port(first, first + low - 1, random));
        let port = found.ok_or(Refusal::Full)?;
        self.taken.ports.insert(port);
        Ok(port)
    }

    fn free_port(&self, first: u16, last: u16, random: &Random) -> Option<u16> {
        let width = u32::from(last.checked_sub(first)?) + 1;
        let start = random.below(u64::from(width)) as u32;
        (0..width)
            .map(|step| first + ((start + step) % width) as u16)
            .find(|port| !self.taken.ports.contains(port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_held_once() {
        let mut pool = Pool::new((Ipv4Addr::new(10, 96, 0, 0), 29), (30000, 30001));
        let random = Random::seeded(1);
        let all: BTreeSet<_> = std::iter::from_fn(|| pool.any_address(&random).ok()).collect();
        assert_eq!(all.len(), 6);
        let one = Ipv4Addr::new(10, 96, 0, 3);
        assert_eq!(pool.take_address(one), Err(Refusal::AddressTaken));
        pool.release(&Taken { addresses: [one].into(), ports: BTreeSet::new() });
        assert_eq!(pool.take_address(one), Ok(()));
        assert!(matches!(
            pool.take_address(Ipv4Addr::new(10, 96, 0, 0)),
            Err(Refusal::AddressOutside { .. })
        ));
        assert!(pool.any_port(&random).is_ok() && pool.any_port(&random).is_ok());
        assert_eq!(pool.any_port(&random), Err(Refusal::Full));
    }
}
