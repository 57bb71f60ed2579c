//! Other servers, played by sockets on the loopback device.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use expect_test::expect;
use tokio::net::UdpSocket;

use super::{dig, resolver};
use crate::wire::{Code, Data, Query, Record, Reply, kind, packed::Transport};

/// A server that knows www.example.com, and how often it was asked.
async fn upstream() -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let address = socket.local_addr().expect("bound");
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let tasks = stdx::Tasks::new();
    tasks.spawn("upstream", async move {
        let mut room = [0; 512];
        while let Ok((len, from)) = socket.recv_from(&mut room).await {
            count.fetch_add(1, Ordering::Relaxed);
            let query = Query::read(&room[..len]).expect("a query");
            let mut forged = known(&query);
            // First somebody's guess under another number.
            forged[0] ^= 1;
            socket.send_to(&forged, from).await.expect("sent");
            socket.send_to(&known(&query), from).await.expect("sent");
        }
    });
    (address, asked)
}

fn known(query: &Query<'_>) -> Vec<u8> {
    let owner = query.name();
    let record = |data| Record { owner: owner.clone(), ttl: 300, data };
    let known = owner == "www.example.com";
    let soa =
        Data::Soa { server: "ns.example.com".into(), mail: "m.example.com".into(), serial: 4, minimum: 60 };
    let reply = Reply {
        code: if known { Code::NoError } else { Code::NoSuchName },
        authoritative: true,
        answers: if known && query.kind == kind::A {
            vec![record(Data::A([192, 0, 2, 1].into()))]
        } else {
            Vec::new()
        },
        authority: if known { Vec::new() } else { vec![record(soa)] },
        additional: Vec::new(),
    };
    reply.pack(query).render(query, 0, Transport::Udp)
}

#[tokio::test]
async fn others_are_asked_once_and_remembered() {
    let (server, asked) = upstream().await;
    let resolver = resolver(vec![server]);
    expect![[r#"
        NOERROR qr rd ra
        ? www.example.com.
        www.example.com. 300 A 192.0.2.1
    "#]]
    .assert_eq(&dig(&resolver, "www.example.com", kind::A).await);
    expect![[r#"
        NXDOMAIN qr rd ra
        ? no.example.com.
        authority no.example.com. 300 SOA ns.example.com. m.example.com. 4 7200 1800 86400 60
    "#]]
    .assert_eq(&dig(&resolver, "no.example.com", kind::A).await);
    dig(&resolver, "WWW.example.com", kind::A).await;
    dig(&resolver, "no.example.com", kind::A).await;
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn an_alias_leads_outside() {
    let (server, _) = upstream().await;
    expect![[r#"
        NOERROR qr aa rd ra
        ? outside.n.svc.cluster.local.
        outside.n.svc.cluster.local. 5 CNAME www.example.com.
        www.example.com. 300 A 192.0.2.1
    "#]]
    .assert_eq(&dig(&resolver(vec![server]), "outside.n.svc.cluster.local", kind::A).await);
}

#[tokio::test]
async fn who_asks_the_same_at_the_same_time_waits_for_the_same_answer() {
    let (server, asked) = upstream().await;
    let resolver = resolver(vec![server]);
    let one = || dig(&resolver, "www.example.com", kind::A);
    let (a, b, c) = tokio::join!(one(), one(), one());
    assert_eq!((&a, &b), (&b, &c));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_passed_over() {
    let (server, _) = upstream().await;
    let gone = UdpSocket::bind("127.0.0.1:0").await.expect("a socket").local_addr().expect("bound");
    let resolver = resolver(vec![gone, server]);
    for _ in 0..4 {
        assert!(dig(&resolver, "www.example.com", kind::A).await.starts_with("NOERROR"));
    }
}

#[tokio::test]
async fn without_a_server_the_answer_is_a_failure() {
    expect![[r#"
        SERVFAIL qr rd ra
        ? www.example.com.
    "#]]
    .assert_eq(&dig(&resolver(Vec::new()), "www.example.com", kind::A).await);
}
