//! The streaming server: exec, attach and port-forward over upgraded connections, by one-time tokens, on loopback.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use cri::v1;
use parking_lot::Mutex;
use stdx::Random;

/// What a token stands for.
#[derive(Clone, Debug)]
pub enum Session {
    Exec(v1::ExecRequest),
    Attach(v1::AttachRequest),
    PortForward(v1::PortForwardRequest),
}

/// Tokens that were handed out and not used yet.
#[derive(Clone)]
pub struct Streaming {
    address: SocketAddr,
    waiting: Arc<Mutex<HashMap<String, Session>>>,
}

/// More tokens than this are not kept: the oldest callers never came.
const MOST_WAITING: usize = 1000;

impl Streaming {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, waiting: Arc::default() }
    }

    /// The URL where `session` can be had, once.
    pub fn admit(&self, random: &Random, session: Session) -> String {
        let token = format!("{:016x}{:016x}", random.u64(), random.u64());
        let kind = match &session {
            Session::Exec(_) => "exec",
            Session::Attach(_) => "attach",
            Session::PortForward(_) => "portforward",
        };
        let mut waiting = self.waiting.lock();
        if waiting.len() >= MOST_WAITING {
            waiting.clear();
        }
        waiting.insert(token.clone(), session);
        format!("http://{}/{kind}/{token}", self.address)
    }

    /// The session of a token, which is void from now on.
    pub fn redeem(&self, token: &str) -> Option<Session> {
        self.waiting.lock().remove(token)
    }
}
