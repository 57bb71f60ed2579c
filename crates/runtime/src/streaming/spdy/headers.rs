//! Header blocks: names and values, in one zlib stream per direction with a dictionary that both sides know.

use std::collections::BTreeMap;
use std::io;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

pub(crate) type Headers = BTreeMap<String, String>;

/// More than this in one block is an attack.
const MOST: usize = 256 << 10;

/// Words of the dictionary that stand there with their length before them.
const WORDS: [&str; 65] = [
    "options",
    "head",
    "post",
    "put",
    "delete",
    "trace",
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "connection",
    "content-base",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "retry-after",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "method",
    "get",
    "status",
    "200 OK",
    "version",
    "HTTP/1.1",
    "url",
    "public",
    "set-cookie",
    "keep-alive",
    "origin",
];

/// What follows them as it is.
const TAIL: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505\
203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden\
404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug \
Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,\
application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdch\
charset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

/// Source: SPDY draft 3, section 2.6.10.1.
fn dictionary() -> Vec<u8> {
    let mut all = Vec::new();
    for word in WORDS {
        all.extend_from_slice(&(word.len() as u32).to_be_bytes());
        all.extend_from_slice(word.as_bytes());
    }
    all.extend_from_slice(TAIL.as_bytes());
    all
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

pub(crate) struct Compressor(Compress);

impl Compressor {
    pub(crate) fn new() -> io::Result<Self> {
        let mut zlib = Compress::new(Compression::default(), true);
        zlib.set_dictionary(&dictionary()).map_err(io::Error::other)?;
        Ok(Self(zlib))
    }

    pub(crate) fn write(&mut self, headers: &Headers) -> io::Result<Vec<u8>> {
        let mut plain = (headers.len() as u32).to_be_bytes().to_vec();
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            plain.extend_from_slice(&(text.len() as u32).to_be_bytes());
            plain.extend_from_slice(text.as_bytes());
        }
        let mut out = Vec::with_capacity(plain.len() + 128);
        let start = self.0.total_in();
        loop {
            let done = (self.0.total_in() - start) as usize;
            self.0.compress_vec(&plain[done..], &mut out, FlushCompress::Sync).map_err(io::Error::other)?;
            // Room that is left says that the flush is complete.
            if out.len() < out.capacity() && (self.0.total_in() - start) as usize == plain.len() {
                return Ok(out);
            }
            out.reserve(256);
        }
    }
}

pub(crate) struct Decompressor(Decompress);

impl Decompressor {
    pub(crate) fn new() -> Self {
        Self(Decompress::new(true))
    }

    pub(crate) fn read(&mut self, block: &[u8]) -> io::Result<Headers> {
        parse(&self.inflate(block)?)
    }

    fn inflate(&mut self, block: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(1024);
        let start = self.0.total_in();
        loop {
            let before = (self.0.total_in() - start) as usize;
            let had = out.len();
            match self.0.decompress_vec(&block[before..], &mut out, FlushDecompress::Sync) {
                Ok(_) => {}
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0.set_dictionary(&dictionary()).map_err(io::Error::other)?;
                    continue;
                }
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
            let done = (self.0.total_in() - start) as usize;
            if done == block.len() && out.len() < out.capacity() {
                return Ok(out);
            }
            if out.len() > MOST {
                return Err(invalid("SPDY headers too large"));
            }
            if out.len() < out.capacity() && done == before && out.len() == had {
                return Err(invalid("broken SPDY headers"));
            }
            out.reserve(1024);
        }
    }
}

fn parse(plain: &[u8]) -> io::Result<Headers> {
    let mut rest = plain;
    let count = take_number(&mut rest)?;
    let mut headers = Headers::new();
    for _ in 0..count {
        let name = take_text(&mut rest)?.to_ascii_lowercase();
        headers.insert(name, take_text(&mut rest)?);
    }
    Ok(headers)
}

fn take_number(rest: &mut &[u8]) -> io::Result<usize> {
    let (number, tail) = rest.split_first_chunk::<4>().ok_or_else(|| invalid("short SPDY headers"))?;
    *rest = tail;
    Ok(u32::from_be_bytes(*number) as usize)
}

fn take_text(rest: &mut &[u8]) -> io::Result<String> {
    let length = take_number(rest)?;
    let (text, tail) = rest.split_at_checked(length).ok_or_else(|| invalid("short SPDY headers"))?;
    *rest = tail;
    String::from_utf8(text.to_vec()).map_err(|_| invalid("SPDY headers are no text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dictionary_is_the_one_that_everybody_has() {
        let (mut a, mut b) = (1u32, 0u32);
        for byte in dictionary() {
            a = (a + u32::from(byte)) % 65521;
            b = (b + a) % 65521;
        }
        assert_eq!((dictionary().len(), b << 16 | a), (1423, 0xe3c6_a7c2));
    }

    #[test]
    fn blocks_share_their_history() {
        let (mut to, mut from) = (Compressor::new().unwrap(), Decompressor::new());
        for round in 0..50 {
            let value = "x".repeat(round * 97);
            let headers =
                Headers::from([("requestid".to_owned(), round.to_string()), ("v".to_owned(), value)]);
            assert_eq!(from.read(&to.write(&headers).unwrap()).unwrap(), headers);
        }
    }

    #[test]
    fn broken_blocks_are_errors() {
        assert!(Decompressor::new().read(b"not zlib").is_err());
        assert!(Decompressor::new().read(&[]).is_err());
        assert!(parse(&[0, 0, 0, 1, 0, 0, 0, 9]).is_err());
    }
}
