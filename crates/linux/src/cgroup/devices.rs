//! Devices under version 2: a small BPF program per cgroup says which may be opened.
//!
//! Source: Documentation/admin-guide/cgroup-v2.rst, "Device controller"; include/uapi/linux/bpf.h.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

/// One rule in version 1 spelling: `c 1:3 rwm`, `b *:* m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    /// 1 block, 2 character; `None` for both.
    kind: Option<i32>,
    major: Option<i32>,
    minor: Option<i32>,
    /// 1 mknod, 2 read, 4 write.
    access: i32,
}

const ANY_ACCESS: i32 = 7;

fn parse(rule: &str) -> Option<Rule> {
    let mut fields = rule.split_whitespace();
    let kind = match fields.next()? {
        "b" => Some(1),
        "c" => Some(2),
        _ => None,
    };
    let (major, minor) = fields.next()?.split_once(':')?;
    let number = |text: &str| if text == "*" { Some(None) } else { text.parse().ok().map(Some) };
    let bit = |letter| match letter {
        'm' => 1,
        'r' => 2,
        'w' => 4,
        _ => 0,
    };
    let access = fields.next()?.chars().map(bit).sum();
    Some(Rule { kind, major: number(major)?, minor: number(minor)?, access })
}

/// A BPF instruction as the kernel reads it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    code: u8,
    /// Destination in the low four bits, source in the high ones.
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// `BPF_LDX | BPF_MEM | BPF_W`, `BPF_ALU | BPF_{AND,RSH,MOV} | …`, `BPF_JMP | BPF_{JNE,EXIT} | …`.
mod code {
    pub const LOAD: u8 = 0x61;
    pub const AND: u8 = 0x54;
    pub const SHIFT_RIGHT: u8 = 0x74;
    pub const MOVE_REGISTER: u8 = 0xbc;
    pub const MOVE: u8 = 0xb4;
    pub const UNLESS_EQUAL: u8 = 0x55;
    pub const UNLESS_EQUAL_REGISTER: u8 = 0x5d;
    pub const EXIT: u8 = 0x95;
}

const fn op(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: from << 4 | to, offset, immediate }
}

/// Registers: 2 kind, 3 access, 4 major, 5 minor. Answers 1 at the first rule that fits, else 0.
fn program(rules: &[Rule]) -> Vec<Instruction> {
    let mut all = vec![
        op(code::LOAD, 2, 1, 0, 0),
        op(code::AND, 2, 0, 0, 0xffff),
        op(code::LOAD, 3, 1, 0, 0),
        op(code::SHIFT_RIGHT, 3, 0, 0, 16),
        op(code::LOAD, 4, 1, 4, 0),
        op(code::LOAD, 5, 1, 8, 0),
    ];
    for rule in rules {
        all.extend(block(rule));
    }
    all.extend([op(code::MOVE, 0, 0, 0, 0), op(code::EXIT, 0, 0, 0, 0)]);
    all
}

/// Every test that fails jumps behind the block.
fn block(rule: &Rule) -> Vec<Instruction> {
    let mut tests = Vec::new();
    if let Some(kind) = rule.kind {
        tests.push(op(code::UNLESS_EQUAL, 2, 0, 0, kind));
    }
    if rule.access != ANY_ACCESS {
        tests.push(op(code::MOVE_REGISTER, 1, 3, 0, 0));
        tests.push(op(code::AND, 1, 0, 0, rule.access));
        tests.push(op(code::UNLESS_EQUAL_REGISTER, 1, 3, 0, 0));
    }
    for (register, number) in [(4, rule.major), (5, rule.minor)] {
        if let Some(number) = number {
            tests.push(op(code::UNLESS_EQUAL, register, 0, 0, number));
        }
    }
    tests.extend([op(code::MOVE, 0, 0, 0, 1), op(code::EXIT, 0, 0, 0, 0)]);
    let length = tests.len();
    for (index, test) in tests.iter_mut().enumerate() {
        if matches!(test.code, code::UNLESS_EQUAL | code::UNLESS_EQUAL_REGISTER) {
            test.offset = (length - index - 1) as i16;
        }
    }
    tests
}

/// Lets the processes of the cgroup at `dir` use what `rules` allow, and nothing else.
pub(super) fn restrict<'a>(dir: &Path, rules: impl Iterator<Item = &'a str>) -> io::Result<()> {
    let rules: Vec<Rule> = rules.filter_map(parse).collect();
    let program = load(&program(&rules))?;
    attach(&File::open(dir)?, &program)
}

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
/// Programs of parents and children apply together.
const ALLOW_MULTI: u32 = 2;

/// The start of the kernel's `union bpf_attr` for loading; the rest counts as zero.
#[repr(C)]
struct LoadAttributes {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
}

#[repr(C)]
struct AttachAttributes {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

fn load(program: &[Instruction]) -> io::Result<OwnedFd> {
    let attributes = LoadAttributes {
        kind: TYPE_CGROUP_DEVICE,
        count: program.len() as u32,
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buffer: 0,
    };
    // SAFETY: the attributes are initialized and of the size given; the instructions and the license that they
    // point at outlive the call; the kernel copies and verifies the program.
    let fd = unsafe {
        libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw const attributes, size_of::<LoadAttributes>())
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor (close-on-exec) and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn attach(cgroup: &File, program: &OwnedFd) -> io::Result<()> {
    let attributes = AttachAttributes {
        target: cgroup.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        kind: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    // SAFETY: the attributes are initialized, of the size given, and name two open descriptors.
    let done = unsafe {
        libc::syscall(libc::SYS_bpf, PROG_ATTACH, &raw const attributes, size_of::<AttachAttributes>())
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        let expected = Rule { kind: Some(2), major: Some(1), minor: None, access: 6 };
        assert_eq!(parse("c 1:* rw"), Some(expected));
        assert_eq!(parse("nonsense"), None);
    }

    /// Needs root and a version 2 hierarchy, alone or hybrid.
    #[test]
    fn the_kernel_enforces_the_program() {
        let hierarchies = super::super::Hierarchies::discover().unwrap();
        let dir = hierarchies.v2().unwrap().join(format!("linux.devices.{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        restrict(&dir, ["c 1:5 r", "c 1:3 rwm"].into_iter()).unwrap();
        let script = format!(
            "echo $$ >{}/cgroup.procs; head -c 1 /dev/zero >/dev/null || exit 1; head -c 1 /dev/urandom && exit 2; exit 0",
            dir.display()
        );
        let ended = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        std::fs::remove_dir(&dir).unwrap();
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        assert!(String::from_utf8_lossy(&ended.stderr).contains("not permitted"), "{ended:?}");
    }
}
