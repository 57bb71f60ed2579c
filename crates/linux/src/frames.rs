//! Length-prefixed messages with file descriptors over a Unix stream socket, for blocking code.
//!
//! A frame is four bytes of length (little endian) and the body. Descriptors travel with the length.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

/// At most this many descriptors in one frame.
pub const MAX_FDS: usize = 4;
/// Larger frames are refused: nobody of ours sends them.
pub const MAX_FRAME: usize = 16 << 20;

/// Writes one frame.
pub fn send(socket: BorrowedFd<'_>, body: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let length = u32::try_from(body.len()).map_err(io::Error::other)?.to_le_bytes();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors for one frame"));
    }
    let first = retry(|| {
        Ok(sendmsg(socket, &[IoSlice::new(&length), IoSlice::new(body)], &mut control, SendFlags::NOSIGNAL)?)
    })?;
    write_rest(socket, &length, body, first)
}

fn write_rest(socket: BorrowedFd<'_>, length: &[u8], body: &[u8], mut sent: usize) -> io::Result<()> {
    while sent < length.len() + body.len() {
        let rest = if sent < length.len() { &length[sent..] } else { &body[sent - length.len()..] };
        sent += retry(|| Ok(rustix::net::send(socket, rest, SendFlags::NOSIGNAL)?))?;
    }
    Ok(())
}

/// Reads one frame; `None` at the end of the stream.
pub fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let mut length = [0u8; 4];
    let mut fds = Vec::new();
    let mut got = 0;
    while got < length.len() {
        let count = receive_some(socket, &mut length[got..], &mut fds)?;
        if count == 0 {
            return if got == 0 { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        got += count;
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "frame too large"));
    }
    let mut body = vec![0u8; length];
    let mut got = 0;
    while got < length {
        match receive_some(socket, &mut body[got..], &mut fds)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => got += count,
        }
    }
    Ok(Some((body, fds)))
}

fn receive_some(socket: BorrowedFd<'_>, into: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received =
        retry(|| Ok(recvmsg(socket, &mut [IoSliceMut::new(into)], &mut control, RecvFlags::CMSG_CLOEXEC)?))?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    Ok(received.bytes)
}

fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_frame_carries_bytes_and_descriptors() {
        let (a, b) = UnixStream::pair().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        send(a.as_fd(), b"hello", &[writer.as_fd()]).unwrap();
        drop((writer, a));
        let (body, fds) = receive(b.as_fd()).unwrap().unwrap();
        assert_eq!(body, b"hello");
        std::io::Write::write_all(&mut std::fs::File::from(fds.into_iter().next().unwrap()), b"x").unwrap();
        let mut text = String::new();
        (&reader).read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
        assert!(receive(b.as_fd()).unwrap().is_none());
    }
}
