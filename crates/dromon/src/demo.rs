//! What the demo image runs: a small HTTP server that says which pod answered.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream};

use anyhow::{Context, Result};

pub fn serve(port: u16) -> Result<()> {
    let listener =
        TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).or_else(|_| TcpListener::bind(("0.0.0.0", port)));
    let listener = listener.with_context(|| format!("cannot listen on port {port}"))?;
    println!("listening on port {port}");
    for stream in listener.incoming() {
        // One client's trouble is not the others'.
        if let Err(error) = stream.map_err(anyhow::Error::from).and_then(answer) {
            eprintln!("{error:#}");
        }
    }
    Ok(())
}

fn answer(mut stream: TcpStream) -> Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    println!("{request}");
    let body = format!("Hello from {}\n", rustix::system::uname().nodename().to_string_lossy());
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    Ok(())
}
