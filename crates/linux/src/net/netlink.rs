//! Netlink by hand, for the subsystems of netfilter: messages, attributes, questions and their answers.

use std::io;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

pub(crate) const REQUEST: u16 = 0x1;
pub(crate) const ACK: u16 = 0x4;
pub(crate) const EXCL: u16 = 0x200;
pub(crate) const DUMP: u16 = 0x300;
pub(crate) const CREATE: u16 = 0x400;
pub(crate) const APPEND: u16 = 0x800;
/// A dump that changes overtook.
const INTERRUPTED: u16 = 0x10;
const NESTED: u16 = 0x8000;
/// The kind without its flags.
const KIND: u16 = 0x3fff;
const HEADER: usize = 16;
/// An nfgenmsg behind the header.
const GENERIC: usize = 4;
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// What one read takes: the kernel makes its answers no larger than 32 KiB.
const READ: usize = 64 << 10;

pub(crate) fn socket() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    // An error must not carry the megabytes that it answers.
    socket.set_cap_ack(true)?;
    Ok(socket)
}

/// Lets a message of `bytes` be sent at once, as a transaction must be.
pub(crate) fn make_room(socket: &Socket, bytes: usize) -> io::Result<()> {
    use std::os::fd::{AsRawFd, BorrowedFd};
    // SAFETY: the socket owns the descriptor and outlives this borrow, which ends with the function.
    let fd = unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) };
    // The kernel counts its own bookkeeping, too.
    let wanted = bytes.saturating_mul(2).max(256 << 10);
    nix::sys::socket::setsockopt(&fd, nix::sys::socket::sockopt::SndBufForce, &wanted).map_err(Into::into)
}

/// The attributes of all messages that answer a dump; asked again when changes overtook it.
pub(crate) fn dump(kind: u16, family: u8, body: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    const TRIES: usize = 10;
    for _ in 0..TRIES {
        if let Some(answers) = dump_once(kind, family, body)? {
            return Ok(answers);
        }
    }
    Err(io::Error::new(io::ErrorKind::WouldBlock, "the kernel's tables change faster than they can be read"))
}

fn dump_once(kind: u16, family: u8, body: &[u8]) -> io::Result<Option<Vec<Vec<u8>>>> {
    let socket = socket()?;
    socket.send(&message(kind, REQUEST | DUMP, family, 0, body), 0)?;
    let mut answers = Vec::new();
    let mut whole = true;
    loop {
        let bytes = read(&socket)?;
        for part in parts(&bytes) {
            whole &= part.flags & INTERRUPTED == 0;
            match part.kind {
                DONE => return Ok(whole.then_some(answers)),
                ERROR => refused(part.body)?,
                _ => answers.push(part.body.get(GENERIC..).unwrap_or_default().to_vec()),
            }
        }
    }
}

/// Sends changes whose last one has the number `last` and asks for an acknowledgement; the first refusal counts.
pub(crate) fn transact(bytes: &[u8], last: u32) -> io::Result<()> {
    let socket = socket()?;
    make_room(&socket, bytes.len())?;
    socket.send(bytes, 0)?;
    let mut first = Ok(());
    loop {
        let bytes = read(&socket)?;
        for part in parts(&bytes).filter(|part| part.kind == ERROR) {
            if let (Ok(()), Err(error)) = (&first, refused(part.body)) {
                first = Err(error);
            }
            if part.sequence == last {
                return first;
            }
        }
    }
}

pub(crate) fn read(socket: &Socket) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(READ);
    loop {
        match socket.recv(&mut bytes, 0) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(_) => return Ok(bytes),
        }
    }
}

/// An nlmsgerr's code; zero is an acknowledgement.
fn refused(body: &[u8]) -> io::Result<()> {
    match body.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code)) {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(-code)),
    }
}

pub(crate) struct Part<'a> {
    pub kind: u16,
    pub flags: u16,
    pub sequence: u32,
    pub body: &'a [u8],
}

/// The messages that one read brought.
pub(crate) fn parts(bytes: &[u8]) -> impl Iterator<Item = Part<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let header = rest.first_chunk::<HEADER>()?;
        let word =
            |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let half = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        let len = word(0) as usize;
        let body = rest.get(HEADER..len)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(Part { kind: half(4), flags: half(6), sequence: word(8), body })
    })
}

pub(crate) fn message(kind: u16, flags: u16, family: u8, resource: u16, body: &[u8]) -> Vec<u8> {
    let len = HEADER + GENERIC + body.len();
    let mut out = Vec::with_capacity(len);
    out.extend((len as u32).to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(flags.to_ne_bytes());
    out.extend([0; 8]);
    out.extend([family, 0]);
    out.extend(resource.to_be_bytes());
    out.extend(body);
    out
}

/// Numbers the messages in their order, from 0.
pub(crate) fn number_messages(messages: &mut [Vec<u8>]) {
    for (sequence, message) in (0u32..).zip(messages) {
        message[8..12].copy_from_slice(&sequence.to_ne_bytes());
    }
}

pub(crate) fn ask_for_answer(message: &mut [u8]) {
    let flags = u16::from_ne_bytes([message[6], message[7]]) | ACK;
    message[6..8].copy_from_slice(&flags.to_ne_bytes());
}

pub(crate) fn attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.extend((4 + value.len() as u16).to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

pub(crate) fn text(out: &mut Vec<u8>, kind: u16, value: &str) {
    attribute(out, kind, &[value.as_bytes(), b"\0"].concat());
}

pub(crate) fn number(out: &mut Vec<u8>, kind: u16, value: u32) {
    attribute(out, kind, &value.to_be_bytes());
}

pub(crate) fn long(out: &mut Vec<u8>, kind: u16, value: u64) {
    attribute(out, kind, &value.to_be_bytes());
}

pub(crate) fn nested(out: &mut Vec<u8>, kind: u16, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 4]);
    write(out);
    let len = (out.len() - start) as u16;
    out[start..start + 2].copy_from_slice(&len.to_ne_bytes());
    out[start + 2..start + 4].copy_from_slice(&(kind | NESTED).to_ne_bytes());
}

/// The attributes of a body, in order.
pub(crate) fn attributes(body: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let [a, b, c, d] = *rest.first_chunk::<4>()?;
        let len = u16::from_ne_bytes([a, b]) as usize;
        let value = rest.get(4..len)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([c, d]) & KIND, value))
    })
}

pub(crate) fn find(body: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(body).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

pub(crate) fn find_text(body: &[u8], kind: u16) -> Option<String> {
    let bytes = find(body, kind)?;
    Some(String::from_utf8_lossy(bytes.strip_suffix(b"\0").unwrap_or(bytes)).into_owned())
}

pub(crate) fn find_number(body: &[u8], kind: u16) -> Option<u32> {
    find(body, kind)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}
