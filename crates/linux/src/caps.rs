//! Capabilities by name, and giving up all but some.

use std::io;

use rustix::thread::{CapabilitySet, CapabilitySets};

/// What a container may do unless told otherwise.
///
/// Upstream: containerd pkg/oci, `defaultUnixCaps`.
pub const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// The bit of `CAP_NET_ADMIN`, `NET_ADMIN` or `net_admin`.
pub fn parse(name: &str) -> Option<CapabilitySet> {
    let upper = name.to_ascii_uppercase();
    CapabilitySet::from_name(upper.strip_prefix("CAP_").unwrap_or(&upper))
}

/// The capabilities that this process could pass on.
pub fn bounding() -> CapabilitySet {
    each().filter(|cap| rustix::thread::capability_is_in_bounding_set(*cap).is_ok_and(|held| held)).collect()
}

/// Drops everything outside `keep` from the bounding set.
pub fn limit_bounding(keep: CapabilitySet) -> io::Result<()> {
    for cap in each().filter(|cap| !keep.contains(*cap)) {
        if rustix::thread::capability_is_in_bounding_set(cap).is_ok_and(|held| held) {
            rustix::thread::remove_capability_from_bounding_set(cap)?;
        }
    }
    Ok(())
}

/// Keeps the permitted set when the user changes from root.
pub fn keep_over_user_change() -> io::Result<()> {
    Ok(rustix::thread::set_keep_capabilities(true)?)
}

/// Sets permitted and effective to `caps` and ambient (hence inheritable) to `ambient`.
pub fn set(caps: CapabilitySet, ambient: CapabilitySet) -> io::Result<()> {
    let permitted = caps | ambient;
    let sets = CapabilitySets { effective: permitted, permitted, inheritable: ambient };
    rustix::thread::set_capabilities(None, sets)?;
    for cap in each().filter(|cap| ambient.contains(*cap)) {
        rustix::thread::configure_capability_in_ambient_set(cap, true)?;
    }
    Ok(())
}

fn each() -> impl Iterator<Item = CapabilitySet> {
    CapabilitySet::all().iter_names().map(|(_, cap)| cap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_with_and_without_prefix() {
        for name in ["CAP_NET_ADMIN", "NET_ADMIN", "net_admin"] {
            assert_eq!(parse(name), Some(CapabilitySet::NET_ADMIN), "{name}");
        }
        assert_eq!(parse("NO_SUCH"), None);
        assert!(DEFAULT.iter().all(|name| parse(name).is_some()));
    }
}
