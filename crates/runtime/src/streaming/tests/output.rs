//! When the output of a process that exited is over.

use std::time::Duration;

use futures::FutureExt;
use stdx::{Clock, Tasks};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;

use super::harness::soon;
use crate::streaming::Process;
use crate::streaming::session::{Channel, Ending, Wire, pair, run};

const PIPE: usize = 1 << 20;

/// A process that has exited, and its end of a pipe that may still be open.
fn exited(clock: &Clock) -> (DuplexStream, Wire) {
    let (output, stdout) = duplex(PIPE);
    let (client, wire) = pair();
    let process = Process {
        stdin: None,
        stdout: Some(Box::pin(stdout)),
        stderr: None,
        resize: mpsc::channel(1).0,
        exit: async { Ok(0) }.boxed(),
    };
    let (start, carrier) = (async { Ok(process) }, std::future::pending().boxed());
    Tasks::new().spawn("session", run(start, client, Ending::ExitCode, carrier, clock.clone()));
    (output, wire)
}

/// Lets the others run in between, so that they wait before the clock moves.
async fn pass(clock: &Clock, seconds: u64) {
    for _ in 0..seconds {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        clock.advance(Duration::from_secs(1));
    }
}

#[tokio::test]
async fn a_slow_client_gets_everything() {
    let clock = Clock::manual(jiff::Timestamp::UNIX_EPOCH);
    let (mut output, mut wire) = exited(&clock);
    output.write_all(&vec![b'x'; PIPE]).await.unwrap();
    drop(output);
    pass(&clock, 60).await;
    let mut stdout = 0;
    while let Some((Channel::Stdout, data)) = soon(wire.output.recv()).await {
        stdout += data.len();
    }
    assert_eq!(stdout, PIPE);
}

#[tokio::test]
async fn silent_heirs_are_not_waited_for() {
    let clock = Clock::manual(jiff::Timestamp::UNIX_EPOCH);
    let (mut output, mut wire) = exited(&clock);
    for _ in 0..4 {
        output.write_all(b"x").await.unwrap();
        pass(&clock, 3).await;
        assert_eq!(soon(wire.output.recv()).await.unwrap().0, Channel::Stdout);
    }
    pass(&clock, 6).await;
    assert_eq!(soon(wire.output.recv()).await.unwrap().0, Channel::Error);
}
