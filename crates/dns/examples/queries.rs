//! Asks a running DNS server the same question as fast as it answers: `queries ADDRESS[:PORT] NAME [SECONDS]`.
//!
//! Prints answers per second and how long one took. Start it on other cores than the server to measure the server.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Questions under way on each socket.
const WINDOW: usize = 64;
const SOCKETS: usize = 2;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, name, rest @ ..] = arguments.as_slice() else {
        eprintln!("usage: queries ADDRESS[:PORT] NAME [SECONDS]");
        std::process::exit(2)
    };
    let server: SocketAddr =
        server.parse().unwrap_or_else(|_| format!("{server}:53").parse().expect("an address"));
    let seconds = rest.first().map_or(5, |text| text.parse().expect("a number of seconds"));
    let question = question(name);
    let took: Vec<Vec<Duration>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..SOCKETS)
            .map(|_| scope.spawn(|| ask(server, &question, Duration::from_secs(seconds))))
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread")).collect()
    });
    let mut took = took.concat();
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!("{} answers/s, p50 {:?}, p99 {:?}", took.len() as u64 / seconds, at(0.5), at(0.99));
}

fn question(name: &str) -> Vec<u8> {
    let mut message = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).expect("a label"));
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

fn ask(server: SocketAddr, question: &[u8], duration: Duration) -> Vec<Duration> {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    socket.connect(server).expect("connected");
    socket.set_read_timeout(Some(Duration::from_secs(1))).expect("set");
    let (begin, mut sent, mut took) = (Instant::now(), [Instant::now(); WINDOW], Vec::new());
    let send = |slot: usize, sent: &mut [Instant; WINDOW]| {
        let mut message = question.to_vec();
        message[..2].copy_from_slice(&(slot as u16).to_be_bytes());
        sent[slot] = Instant::now();
        socket.send(&message).expect("sent");
    };
    (0..WINDOW).for_each(|slot| send(slot, &mut sent));
    let mut room = [0; 512];
    while begin.elapsed() < duration {
        socket.recv(&mut room).expect("an answer within a second");
        let slot = usize::from(u16::from_be_bytes([room[0], room[1]]));
        took.push(sent[slot].elapsed());
        send(slot, &mut sent);
    }
    took
}
