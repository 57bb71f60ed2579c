//! WebSocket sessions for exec, attach, cp and port-forward: numbered channels in binary frames.
//!
//! Upstream: client-go/tools/remotecommand/websocket.go, apimachinery's remotecommand (v5.channel.k8s.io).

use futures::{SinkExt, StreamExt};
use http::{Method, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{Ask, Rest, Status, read};
use crate::error::{Error, Result};

/// Channels of a command session, and the one that closes another.
pub struct Channels;

impl Channels {
    pub const STDIN: u8 = 0;
    pub const STDOUT: u8 = 1;
    pub const STDERR: u8 = 2;
    pub const ERROR: u8 = 3;
    pub const RESIZE: u8 = 4;
    pub const CLOSE: u8 = 255;
}

pub struct Socket {
    stream: WebSocketStream<TokioIo<Upgraded>>,
}

impl Rest {
    /// Opens a session at `path`, speaking one of `protocols`.
    ///
    /// # Errors
    /// The server is not reached, or refuses.
    pub async fn socket(&self, path: &str, protocols: &str) -> Result<Socket> {
        let ask = Ask { method: Method::GET, ..Ask::get(path) };
        let mut request = self.request(&ask)?;
        let headers = request.headers_mut();
        let key = tokio_tungstenite::tungstenite::handshake::client::generate_key();
        let mut set = |name: header::HeaderName, value: &str| {
            // All of these are plain ASCII.
            if let Ok(value) = value.parse() {
                headers.insert(name, value);
            }
        };
        set(header::CONNECTION, "Upgrade");
        set(header::UPGRADE, "websocket");
        set(header::SEC_WEBSOCKET_VERSION, "13");
        set(header::SEC_WEBSOCKET_KEY, &key);
        set(header::SEC_WEBSOCKET_PROTOCOL, protocols);
        let mut sender = self.open().await?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| Error::Unreachable(stdx::error_chain(&error)))?;
        if response.status().as_u16() != 101 {
            let code = response.status().as_u16();
            let body = read(response).await?;
            return Err(Error::Status(Box::new(Status::read(code, &body, &ask))));
        }
        let upgraded = hyper::upgrade::on(response)
            .await
            .map_err(|error| Error::Unreachable(stdx::error_chain(&error)))?;
        let stream = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None).await;
        Ok(Socket { stream })
    }
}

impl Socket {
    /// # Errors
    /// The connection ended.
    pub async fn send(&mut self, channel: u8, data: &[u8]) -> Result {
        let mut frame = Vec::with_capacity(data.len() + 1);
        frame.push(channel);
        frame.extend_from_slice(data);
        self.stream
            .send(Message::binary(frame))
            .await
            .map_err(|error| Error::said(format!("error sending: {error}")))
    }

    /// The next channel and its data; none at the end.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn next(&mut self) -> Result<Option<(u8, Vec<u8>)>> {
        loop {
            let Some(message) = self.stream.next().await else { return Ok(None) };
            match message {
                Ok(Message::Binary(data)) => {
                    let Some((channel, data)) = data.split_first() else { continue };
                    return Ok(Some((*channel, data.to_vec())));
                }
                Ok(Message::Close(_)) => return Ok(None),
                Ok(_) => {}
                Err(tokio_tungstenite::tungstenite::Error::ConnectionClosed) => return Ok(None),
                Err(error) => return Err(Error::said(format!("error reading from the server: {error}"))),
            }
        }
    }

    /// Says goodbye; a server that is gone already needs none.
    pub async fn close(mut self) {
        let _ = self.stream.close(None).await;
    }
}
