//! System call filters: the runtime's default profile, compiled to BPF.

mod names;

use std::collections::BTreeMap;
use std::io;

use rustix::thread::CapabilitySet;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Filters in the order in which they are loaded; the kernel takes the strictest answer.
#[derive(Clone, Debug)]
pub struct Filters(Vec<BpfProgram>);

/// The default profile for a process that may hold `caps`: what containers need, EPERM for the rest.
///
/// Upstream: containerd contrib/seccomp, moby profiles/seccomp. Differs: `socket` with AF_VSOCK is refused alone.
pub fn default_profile(caps: CapabilitySet) -> Result<Filters, seccompiler::BackendError> {
    let mut rules: Rules = names::ALWAYS.iter().map(|number| (*number, Vec::new())).collect();
    for (cap, numbers) in names::WITH_CAPABILITY {
        if caps.contains(*cap) {
            rules.extend(numbers.iter().map(|number| (*number, Vec::new())));
        }
    }
    rules.insert(libc::SYS_personality, personalities()?);
    rules.insert(libc::SYS_socket, vec![argument(0, SeccompCmpOp::Ne, libc::AF_VSOCK as u64)?]);
    if !caps.contains(CapabilitySet::SYS_ADMIN) {
        rules.insert(libc::SYS_clone, vec![argument(0, SeccompCmpOp::MaskedEq(NEW_NAMESPACES), 0)?]);
    }
    let allow = program(rules, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow)?;
    Ok(Filters(if caps.contains(CapabilitySet::SYS_ADMIN) {
        vec![allow]
    } else {
        vec![without_clone3()?, allow]
    }))
}

/// Bits of clone that make namespaces.
const NEW_NAMESPACES: u64 = 0x7e02_0000;

/// clone3's flags lie in memory, out of a filter's sight; ENOSYS makes libc fall back to clone.
fn without_clone3() -> Result<BpfProgram, seccompiler::BackendError> {
    let rules = Rules::from([(libc::SYS_clone3, Vec::new())]);
    program(rules, SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS as u32))
}

/// Linux, Linux 32 bit, and each with uname-2.6; and asking for the present one.
fn personalities() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    [0, 8, 0x20000, 0x20008, 0xffff_ffff].into_iter().map(|n| argument(0, SeccompCmpOp::Eq, n)).collect()
}

fn argument(index: u8, op: SeccompCmpOp, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(index, SeccompCmpArgLen::Dword, op, value)?])
}

fn program(
    rules: Rules,
    other: SeccompAction,
    on_match: SeccompAction,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let arch = if cfg!(target_arch = "aarch64") { TargetArch::aarch64 } else { TargetArch::x86_64 };
    SeccompFilter::new(rules, other, on_match, arch)?.try_into()
}

impl Filters {
    /// Loads the filters into this thread. Needs CAP_SYS_ADMIN or no_new_privs; stays over exec.
    pub fn load(&self) -> io::Result<()> {
        // Each filter is loaded under the ones before it, and these have to let `seccomp` through: they do.
        self.0.iter().try_for_each(load)
    }
}

fn load(filter: &BpfProgram) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(io::Error::other)?,
        filter: filter.as_ptr().cast_mut().cast(),
    };
    // SAFETY: `program` points at `len` initialized instructions that outlive the call; seccompiler's
    // instruction has the layout of the kernel's sock_filter; the kernel copies and checks them.
    let done =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_profile_compiles_for_every_set() {
        for caps in [CapabilitySet::empty(), CapabilitySet::all()] {
            assert!(default_profile(caps).is_ok());
        }
    }
}
