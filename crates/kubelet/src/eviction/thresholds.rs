//! What must be left, and whether it is.

use super::Pressure;
use super::signals::{Reading, Signal};

/// An amount, or a share of the whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Least {
    Amount(u64),
    Percent(u64),
}

/// What must be left of the node's means; below that, pods are evicted at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    pub memory_available: Least,
    pub disk_available: Least,
    pub inodes_free: Least,
    pub pids_available: Option<Least>,
}

impl Default for Thresholds {
    /// Upstream's.
    fn default() -> Self {
        Self {
            memory_available: Least::Amount(100 << 20),
            disk_available: Least::Percent(10),
            inodes_free: Least::Percent(5),
            pids_available: None,
        }
    }
}

/// A threshold that is not met.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Crossed {
    pub reading: Reading,
    pub threshold: u64,
}

impl Thresholds {
    fn of(&self, reading: Reading) -> Option<u64> {
        let least = match reading.signal {
            Signal::MemoryAvailable => self.memory_available,
            Signal::NodeFsAvailable => self.disk_available,
            Signal::NodeFsInodesFree => self.inodes_free,
            Signal::PidAvailable => self.pids_available?,
        };
        Some(match least {
            Least::Amount(amount) => amount,
            Least::Percent(percent) => (u128::from(reading.capacity) * u128::from(percent) / 100) as u64,
        })
    }

    /// Those that are crossed; memory first, since it kills soonest.
    pub(crate) fn crossed(&self, readings: &[Reading]) -> Vec<Crossed> {
        let crossed = readings.iter().filter_map(|reading| {
            let threshold = self.of(*reading)?;
            (reading.available < threshold).then_some(Crossed { reading: *reading, threshold })
        });
        crossed.collect()
    }
}

pub(crate) fn pressure(crossed: &[Crossed]) -> Pressure {
    let mut pressure = Pressure::default();
    for one in crossed {
        match one.reading.signal {
            Signal::MemoryAvailable => pressure.memory = true,
            Signal::NodeFsAvailable | Signal::NodeFsInodesFree => pressure.disk = true,
            Signal::PidAvailable => pressure.pid = true,
        }
    }
    pressure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_amounts() {
        let readings = |memory: u64, disk: u64| {
            [
                Reading { signal: Signal::MemoryAvailable, available: memory, capacity: 8 << 30 },
                Reading { signal: Signal::NodeFsAvailable, available: disk, capacity: 1000 },
                Reading { signal: Signal::PidAvailable, available: 0, capacity: 32768 },
            ]
        };
        let under = |memory, disk| pressure(&Thresholds::default().crossed(&readings(memory, disk)));
        assert_eq!(under(100 << 20, 100), Pressure::default());
        assert_eq!(under((100 << 20) - 1, 99), Pressure { memory: true, disk: true, pid: false });
        assert_eq!(under(0, 100).names(), ["MemoryPressure"]);
    }
}
