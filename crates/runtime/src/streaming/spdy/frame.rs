//! Frames as bytes.

use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::headers::{Compressor, Decompressor, Headers};

const VERSION: u16 = 3;
const CONTROL: u16 = 0x8000;
const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const FIN: u8 = 1;
/// Larger frames are nobody's.
const MOST: usize = 8 << 20;

/// What is said, either way.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Open {
        stream: u32,
        headers: Headers,
        fin: bool,
    },
    Reply {
        stream: u32,
    },
    Data {
        stream: u32,
        data: Bytes,
        fin: bool,
    },
    Reset {
        stream: u32,
    },
    Ping {
        id: u32,
    },
    GoAway,
    /// Of no meaning to us.
    Other,
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Reads one frame; `None` at the end of the connection.
pub(crate) async fn read<R>(from: &mut R, headers: &mut Decompressor) -> io::Result<Option<Frame>>
where
    R: AsyncRead + Unpin,
{
    let mut head = [0u8; 8];
    match from.read_exact(&mut head).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    };
    let length = u32::from_be_bytes([0, head[5], head[6], head[7]]) as usize;
    if length > MOST {
        return Err(invalid("SPDY frame too large"));
    }
    let mut body = vec![0u8; length];
    from.read_exact(&mut body).await?;
    parse(head, body, headers).map(Some)
}

fn parse(head: [u8; 8], body: Vec<u8>, headers: &mut Decompressor) -> io::Result<Frame> {
    let first = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    let fin = head[4] & FIN != 0;
    let kind = u16::from_be_bytes([head[0], head[1]]);
    if kind & CONTROL == 0 {
        return Ok(Frame::Data { stream: first, data: body.into(), fin });
    }
    if kind & !CONTROL != VERSION {
        return Err(invalid("unknown SPDY version"));
    }
    let number = |at: usize| -> io::Result<u32> {
        let bytes = body.get(at..at + 4).ok_or_else(|| invalid("short SPDY frame"))?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    let block = |at: usize| body.get(at..).ok_or_else(|| invalid("short SPDY frame"));
    Ok(match u16::from_be_bytes([head[2], head[3]]) {
        SYN_STREAM => {
            Frame::Open { stream: number(0)? & !(1 << 31), headers: headers.read(block(10)?)?, fin }
        }
        // The blocks share one compression: each has to be read, wanted or not.
        SYN_REPLY | HEADERS => {
            headers.read(block(4)?)?;
            Frame::Other
        }
        RST_STREAM => Frame::Reset { stream: number(0)? },
        PING => Frame::Ping { id: number(0)? },
        GOAWAY => Frame::GoAway,
        _ => Frame::Other,
    })
}

/// The bytes of a frame.
pub(crate) fn write(frame: &Frame, headers: &mut Compressor) -> io::Result<BytesMut> {
    let mut out = BytesMut::new();
    match frame {
        Frame::Open { stream, headers: list, fin } => {
            let block = headers.write(list)?;
            control(&mut out, SYN_STREAM, *fin, block.len() + 10);
            out.put_u32(*stream);
            out.put_u32(0);
            out.put_u16(0);
            out.put_slice(&block);
        }
        Frame::Reply { stream } => {
            let block = headers.write(&Headers::new())?;
            control(&mut out, SYN_REPLY, false, block.len() + 4);
            out.put_u32(*stream);
            out.put_slice(&block);
        }
        Frame::Data { stream, data, fin } => {
            out.put_u32(*stream);
            put_length(&mut out, *fin, data.len());
            out.put_slice(data);
        }
        Frame::Reset { stream } => {
            /// The recipient's stream is cancelled by its maker.
            const CANCEL: u32 = 5;
            control(&mut out, RST_STREAM, false, 8);
            out.put_u32(*stream);
            out.put_u32(CANCEL);
        }
        Frame::Ping { id } => {
            control(&mut out, PING, false, 4);
            out.put_u32(*id);
        }
        Frame::GoAway => {
            control(&mut out, GOAWAY, false, 8);
            out.put_u64(0);
        }
        Frame::Other => {}
    }
    Ok(out)
}

fn control(out: &mut BytesMut, kind: u16, fin: bool, length: usize) {
    out.put_u16(CONTROL | VERSION);
    out.put_u16(kind);
    put_length(out, fin, length);
}

fn put_length(out: &mut BytesMut, fin: bool, length: usize) {
    out.put_u8(if fin { FIN } else { 0 });
    out.put_uint(length as u64, 3);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_survive_the_wire() {
        let mut compressor = Compressor::new().unwrap();
        let mut decompressor = Decompressor::new();
        let headers =
            Headers::from([("streamtype".to_owned(), "data".to_owned()), ("port".into(), "80".into())]);
        let frames = [
            Frame::Open { stream: 1, headers: headers.clone(), fin: false },
            Frame::Data { stream: 1, data: Bytes::from_static(b"hello"), fin: true },
            Frame::Open { stream: 3, headers, fin: true },
            Frame::Reset { stream: 3 },
            Frame::Ping { id: 7 },
            Frame::GoAway,
        ];
        let mut wire = Vec::new();
        for frame in &frames {
            wire.extend_from_slice(&write(frame, &mut compressor).unwrap());
        }
        let mut from = wire.as_slice();
        for frame in frames {
            assert_eq!(read(&mut from, &mut decompressor).await.unwrap(), Some(frame));
        }
        assert_eq!(read(&mut from, &mut decompressor).await.unwrap(), None);
    }

    #[tokio::test]
    async fn nonsense_is_refused() {
        for wire in [
            &[0x80, 9, 0, 1, 0, 0, 0, 0][..],
            &[0, 0, 0, 1, 0, 0xff, 0xff, 0xff],
            &[0x80, 3, 0, 1, 0, 0, 0, 2, 0, 0],
        ] {
            let mut from = wire;
            assert!(read(&mut from, &mut Decompressor::new()).await.is_err(), "{wire:?}");
        }
    }
}
