//! A process and its client, whatever wire lies between them.
//!
//! All output is sent before the status, and the status before the end.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use stdx::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::backend::{BoxError, BoxRead, BoxWrite, Process};

/// What a client is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    Stdout,
    Stderr,
    /// A `Status` as JSON, at the end.
    Error,
}

/// The session's ends.
pub(super) struct Client {
    stdin: mpsc::Receiver<Bytes>,
    resize: mpsc::Receiver<(u16, u16)>,
    output: mpsc::Sender<(Channel, Bytes)>,
}

/// The wire's ends. Dropping `stdin` is the end of the client's input; the end of `output` is the session's.
pub(super) struct Wire {
    pub stdin: Option<mpsc::Sender<Bytes>>,
    pub resize: mpsc::Sender<(u16, u16)>,
    pub output: mpsc::Receiver<(Channel, Bytes)>,
}

/// What the client is told once the process has ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    ExitCode,
    /// Whatever the code: the process was not started for this client.
    Success,
}

const WAITING: usize = 16;
const CHUNK: usize = 32 << 10;
/// How long a process's heirs may keep its output open after its end without writing any.
const HEIRS: Duration = Duration::from_secs(5);

pub(super) fn pair() -> (Client, Wire) {
    let (stdin_in, stdin) = mpsc::channel(WAITING);
    let (resize_in, resize) = mpsc::channel(WAITING);
    let (output, output_out) = mpsc::channel(WAITING);
    let wire = Wire { stdin: Some(stdin_in), resize: resize_in, output: output_out };
    (Client { stdin, resize, output }, wire)
}

/// Runs to the end of the process or of the client. A client that goes takes its process along.
pub(super) async fn run(
    start: impl Future<Output = Result<Process, BoxError>>,
    client: Client,
    ending: Ending,
    carrier: BoxFuture<'static, ()>,
    clock: Clock,
) {
    let serve = async {
        match start.await {
            Ok(process) => serve(process, client, ending, &clock).await,
            Err(error) => {
                send_status(&client.output, &internal(&*error)).await;
                drop(client);
            }
        }
        // The output's sender is gone now: the wire sends what is left and closes.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = serve => {}
        () = carrier => {}
    }
}

async fn serve(process: Process, client: Client, ending: Ending, clock: &Clock) {
    let Process { stdin, stdout, stderr, resize, exit } = process;
    let Client { stdin: input, resize: sizes, output } = client;
    let exited = CancellationToken::new();
    let patience = Patience { exited: exited.clone(), clock: clock.clone() };
    let mut outputs = std::pin::pin!(async {
        tokio::join!(
            send_all(stdout, Channel::Stdout, output.clone(), patience.clone()),
            send_all(stderr, Channel::Stderr, output.clone(), patience)
        );
    });
    let mut feeds = std::pin::pin!(async { tokio::join!(feed(input, stdin), pass_sizes(sizes, resize)) });
    let mut exit = exit;
    let (mut read, mut fed) = (false, false);
    let ended = loop {
        tokio::select! {
            () = &mut outputs, if !read => read = true,
            _ = &mut feeds, if !fed => fed = true,
            ended = &mut exit => break ended,
        }
    };
    exited.cancel();
    if !read {
        outputs.await;
    }
    let status = match (ended, ending) {
        (Ok(0), _) | (Ok(_), Ending::Success) => json!({"metadata": {}, "status": "Success"}),
        (Ok(code), Ending::ExitCode) => non_zero(code),
        (Err(error), _) => internal(&*error),
    };
    send_status(&output, &status).await;
}

/// How long silence is borne: for ever, until the process has exited.
#[derive(Clone)]
struct Patience {
    exited: CancellationToken,
    clock: Clock,
}

impl Patience {
    async fn end(&self) {
        self.exited.cancelled().await;
        self.clock.sleep(HEIRS).await;
    }
}

/// To the end of the stream; heirs of a process that exited are not waited for when they are silent. A client that
/// reads slowly is: all that was written is for it.
async fn send_all(
    from: Option<BoxRead>,
    channel: Channel,
    output: mpsc::Sender<(Channel, Bytes)>,
    patience: Patience,
) {
    let Some(mut from) = from else { return };
    let mut buffer = vec![0u8; CHUNK];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            () = patience.end() => return,
        };
        // A stream that fails has ended.
        let Ok(count @ 1..) = read else { return };
        if output.send((channel, Bytes::copy_from_slice(&buffer[..count]))).await.is_err() {
            return;
        }
    }
}

/// Dropping the process's input closes it.
async fn feed(mut input: mpsc::Receiver<Bytes>, stdin: Option<BoxWrite>) {
    let Some(mut stdin) = stdin else { return };
    while let Some(data) = input.recv().await {
        // A process that closed its input takes no more.
        if stdin.write_all(&data).await.is_err() || stdin.flush().await.is_err() {
            return;
        }
    }
    // Closed already is closed.
    let _ = stdin.shutdown().await;
}

async fn pass_sizes(mut sizes: mpsc::Receiver<(u16, u16)>, resize: mpsc::Sender<(u16, u16)>) {
    while let Some(size) = sizes.recv().await {
        if resize.send(size).await.is_err() {
            return;
        }
    }
}

async fn send_status(output: &mpsc::Sender<(Channel, Bytes)>, status: &Value) {
    // A client that is gone needs no status.
    let _ = output.send((Channel::Error, Bytes::from(status.to_string()))).await;
}

/// Upstream: apimachinery util/remotecommand, `NonZeroExitCodeReason`, `ExitCodeCauseType`.
fn non_zero(code: i32) -> Value {
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("command terminated with non-zero exit code: exit status {code}"),
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}

fn internal(error: &(dyn std::error::Error + 'static)) -> Value {
    let what = format!("error executing command in container: {}", stdx::error_chain(error));
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("Internal error occurred: {what}"),
        "reason": "InternalError",
        "details": {"causes": [{"message": what}]},
        "code": 500,
    })
}

/// The size that a client sends as JSON; zero and nonsense change nothing.
pub(super) fn parse_size(data: &[u8]) -> Option<(u16, u16)> {
    let size: Value = serde_json::from_slice(data).ok()?;
    let number = |name: &str| u16::try_from(size[name].as_u64()?).ok().filter(|n| *n > 0);
    Some((number("Width")?, number("Height")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(parse_size(br#"{"Width":80,"Height":24}"#), Some((80, 24)));
        assert_eq!(parse_size(br#"{"Width":0,"Height":24}"#), None);
        assert_eq!(parse_size(b"x"), None);
    }
}
