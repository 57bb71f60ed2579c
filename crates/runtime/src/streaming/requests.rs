//! Requests that were granted but not made yet: each is behind a random token, good once and for a minute.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use stdx::{Clock, Random};

use super::backend::Wants;

const LIFETIME: Duration = Duration::from_secs(60);
const MOST: usize = 1000;
const TOKEN_LEN: usize = 24;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Exec { container: String, command: Vec<String>, wants: Wants },
    Attach { container: String, wants: Wants },
    PortForward { sandbox: String, ports: Vec<i32> },
}

pub(super) struct Requests {
    clock: Clock,
    random: Random,
    /// Oldest first, so that what expired is always at the front.
    waiting: Mutex<VecDeque<Waiting>>,
}

struct Waiting {
    token: String,
    expires: Duration,
    request: Request,
}

impl Requests {
    pub(super) fn new(clock: Clock, random: Random) -> Self {
        Self { clock, random, waiting: Mutex::new(VecDeque::new()) }
    }

    /// Keeps the request and returns its token. The oldest one gives way when there are too many.
    pub(super) fn insert(&self, request: Request) -> String {
        let token = self.random.alphanumeric(TOKEN_LEN);
        let now = self.clock.monotonic();
        let mut waiting = self.waiting.lock();
        drop_expired(&mut waiting, now);
        if waiting.len() >= MOST {
            waiting.pop_front();
        }
        waiting.push_back(Waiting { token: token.clone(), expires: now + LIFETIME, request });
        token
    }

    pub(super) fn take(&self, token: &str) -> Option<Request> {
        let mut waiting = self.waiting.lock();
        drop_expired(&mut waiting, self.clock.monotonic());
        let index = waiting.iter().position(|w| w.token == token)?;
        waiting.remove(index).map(|w| w.request)
    }
}

fn drop_expired(waiting: &mut VecDeque<Waiting>, now: Duration) {
    while waiting.front().is_some_and(|w| w.expires <= now) {
        waiting.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request::PortForward { sandbox: "s".into(), ports: vec![] }
    }

    #[test]
    fn a_token_is_good_once_and_for_a_minute() {
        let clock = Clock::manual(jiff::Timestamp::UNIX_EPOCH);
        let requests = Requests::new(clock.clone(), Random::seeded(1));
        let token = requests.insert(request());
        assert_eq!(requests.take(&token), Some(request()));
        assert_eq!(requests.take(&token), None);
        let token = requests.insert(request());
        clock.advance(LIFETIME);
        assert_eq!(requests.take(&token), None);
    }

    #[test]
    fn the_oldest_gives_way() {
        let requests = Requests::new(Clock::manual(jiff::Timestamp::UNIX_EPOCH), Random::seeded(1));
        let first = requests.insert(request());
        let second = requests.insert(request());
        (0..MOST - 1).for_each(|_| drop(requests.insert(request())));
        assert_eq!(requests.take(&first), None);
        assert_eq!(requests.take(&second), Some(request()));
    }
}
