//! What a client sees of the transport: EDNS, lengths, rejections.

use expect_test::expect;

use super::{exchange, print, resolver};
use crate::listen::Bound;
use crate::wire::packed::Transport;
use crate::wire::{Query, kind};

/// A query with an OPT record.
fn with_edns(name: &str, payload: u16, version: u8) -> Vec<u8> {
    let mut message = Query::write(7, name, kind::A);
    message[11] = 1;
    message.extend([0, 0, 41]);
    message.extend(payload.to_be_bytes());
    message.extend([0, version, 0, 0, 0, 0]);
    message
}

async fn answer(message: &[u8], transport: Transport) -> Vec<u8> {
    exchange(&resolver(Vec::new()), message, transport).await.expect("an answer")
}

#[tokio::test]
async fn long_answers_are_cut_at_what_the_client_takes() {
    let plain = Query::write(7, "big.n.svc.cluster.local", kind::A);
    let lines = |bytes: &[u8]| {
        let text = print::message(bytes);
        let first = text.lines().next().unwrap_or_default().to_owned();
        format!("{first}, {} addresses, {} bytes", text.matches(" A ").count(), bytes.len())
    };
    expect!["NOERROR qr aa tc rd ra, 29 addresses, 505 bytes"]
        .assert_eq(&lines(&answer(&plain, Transport::Udp).await));
    expect!["NOERROR qr aa rd ra, 100 addresses, 1641 bytes"]
        .assert_eq(&lines(&answer(&plain, Transport::Tcp).await));
    let edns = with_edns("big.n.svc.cluster.local", 1232, 0);
    expect!["NOERROR qr aa tc rd ra, 73 addresses, 1220 bytes"]
        .assert_eq(&lines(&answer(&edns, Transport::Udp).await));
    let edns = with_edns("big.n.svc.cluster.local", 4096, 0);
    expect!["NOERROR qr aa rd ra, 100 addresses, 1652 bytes"]
        .assert_eq(&lines(&answer(&edns, Transport::Udp).await));
}

#[tokio::test]
async fn edns_is_answered_and_its_version_checked() {
    expect![[r#"
        NOERROR qr aa rd ra
        ? web.n.svc.cluster.local.
        web.n.svc.cluster.local. 5 A 10.96.1.1
        additional OPT payload 1232 flags 0x0
    "#]]
    .assert_eq(&print::message(
        &answer(&with_edns("web.n.svc.cluster.local", 1232, 0), Transport::Udp).await,
    ));
    // The upper bits of BADVERS stand in the OPT record.
    expect![[r#"
        NOERROR qr rd ra
        ? web.n.svc.cluster.local.
        additional OPT payload 1232 flags 0x1000000
    "#]]
    .assert_eq(&print::message(
        &answer(&with_edns("web.n.svc.cluster.local", 1232, 1), Transport::Udp).await,
    ));
}

#[tokio::test]
async fn other_classes_are_refused() {
    let mut message = Query::write(7, "web.n.svc.cluster.local", kind::A);
    let last = message.len() - 1;
    message[last] = 3;
    expect![[r#"
        REFUSED qr rd ra
        ? web.n.svc.cluster.local.
    "#]]
    .assert_eq(&print::message(&answer(&message, Transport::Udp).await));
}

#[tokio::test]
async fn the_question_comes_back_to_the_letter_also_from_the_cache() {
    let resolver = resolver(Vec::new());
    for name in ["web.n.svc.cluster.local", "wEB.N.svc.CLUSTER.local"] {
        let message = Query::write(9, name, kind::A);
        let answer = exchange(&resolver, &message, Transport::Udp).await.expect("an answer");
        let (question, number) = (&answer[12..message.len()], &answer[..2]);
        assert_eq!((question, number), (&message[12..], &message[..2]));
        assert!(print::message(&answer).contains(&format!("{name}. 5 A 10.96.1.1")));
    }
}

/// Real sockets: a datagram, and two questions on one stream.
#[tokio::test]
async fn datagrams_and_streams() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let bound = Bound::at("127.0.0.1:0".parse().expect("an address")).await.expect("listens");
    let server = (bound.address(), bound.port());
    let (trigger, shutdown) = stdx::Shutdown::new();
    let tasks = stdx::Tasks::new();
    crate::serve::start(bound, resolver(Vec::new()), &tasks, &shutdown);
    let message = Query::write(7, "web.n.svc.cluster.local", kind::A);
    let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    client.send_to(&message, server).await.expect("sent");
    let mut room = [0; 512];
    let len = client.recv(&mut room).await.expect("answered");
    let over_udp = print::message(&room[..len]);
    assert!(over_udp.contains("web.n.svc.cluster.local. 5 A 10.96.1.1"), "{over_udp}");

    let mut stream = tokio::net::TcpStream::connect(server).await.expect("connected");
    let framed = [&(message.len() as u16).to_be_bytes(), &message[..]].concat();
    stream.write_all(&[framed.clone(), framed].concat()).await.expect("sent");
    for _ in 0..2 {
        let len = stream.read_u16().await.expect("a length");
        let mut answer = vec![0; usize::from(len)];
        stream.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(print::message(&answer), over_udp);
    }
    trigger.shut_down();
    tasks.wait().await;
}
