//! The specification, question by question.

use expect_test::{Expect, expect};

use super::{dig, number_of, resolver};

#[track_caller]
fn check(name: &str, kind: &str, expected: Expect) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let told = runtime.block_on(dig(&resolver(Vec::new()), name, number_of(kind)));
    expected.assert_eq(&told);
}

#[test]
fn cluster_addresses() {
    check(
        "web.n.svc.cluster.local",
        "A",
        expect![[r#"
        NOERROR qr aa rd ra
        ? web.n.svc.cluster.local.
        web.n.svc.cluster.local. 5 A 10.96.1.1
    "#]],
    );
    check(
        "web.n.svc.cluster.local",
        "AAAA",
        expect![[r#"
        NOERROR qr aa rd ra
        ? web.n.svc.cluster.local.
        authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5
    "#]],
    );
    check(
        "WeB.n.SVC.cluster.LOCAL",
        "A",
        expect![[r#"
        NOERROR qr aa rd ra
        ? WeB.n.SVC.cluster.LOCAL.
        WeB.n.SVC.cluster.LOCAL. 5 A 10.96.1.1
    "#]],
    );
    check(
        "dual.n.svc.cluster.local",
        "ANY",
        expect![[r#"
        NOERROR qr aa rd ra
        ? dual.n.svc.cluster.local.
        dual.n.svc.cluster.local. 5 A 10.96.1.2
        dual.n.svc.cluster.local. 5 AAAA fd00::2
    "#]],
    );
    check(
        "_http._tcp.web.n.svc.cluster.local",
        "SRV",
        expect![[r#"
        NOERROR qr aa rd ra
        ? _http._tcp.web.n.svc.cluster.local.
        _http._tcp.web.n.svc.cluster.local. 5 SRV 0 100 80 web.n.svc.cluster.local.
        additional web.n.svc.cluster.local. 5 A 10.96.1.1
    "#]],
    );
    check(
        "web.n.svc.cluster.local",
        "SRV",
        expect![[r#"
        NOERROR qr aa rd ra
        ? web.n.svc.cluster.local.
        web.n.svc.cluster.local. 5 SRV 0 50 53 web.n.svc.cluster.local.
        web.n.svc.cluster.local. 5 SRV 0 50 80 web.n.svc.cluster.local.
        additional web.n.svc.cluster.local. 5 A 10.96.1.1
    "#]],
    );
    check(
        "_http._udp.web.n.svc.cluster.local",
        "SRV",
        expect![[r#"
        NXDOMAIN qr aa rd ra
        ? _http._udp.web.n.svc.cluster.local.
        authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5
    "#]],
    );
    check(
        "10-244-0-6.web.n.svc.cluster.local",
        "A",
        expect![[r#"
        NOERROR qr aa rd ra
        ? 10-244-0-6.web.n.svc.cluster.local.
        10-244-0-6.web.n.svc.cluster.local. 5 A 10.244.0.6
    "#]],
    );
}

#[test]
fn headless_services() {
    check(
        "db.n.svc.cluster.local",
        "A",
        expect![[r#"
        NOERROR qr aa rd ra
        ? db.n.svc.cluster.local.
        db.n.svc.cluster.local. 5 A 10.244.0.7
        db.n.svc.cluster.local. 5 A 10.244.0.8
    "#]],
    );
    check(
        "db-0.db.n.svc.cluster.local",
        "A",
        expect![[r#"
        NOERROR qr aa rd ra
        ? db-0.db.n.svc.cluster.local.
        db-0.db.n.svc.cluster.local. 5 A 10.244.0.7
    "#]],
    );
    check(
        "10-244-0-8.db.n.svc.cluster.local",
        "A",
        expect![[r#"
        NOERROR qr aa rd ra
        ? 10-244-0-8.db.n.svc.cluster.local.
        10-244-0-8.db.n.svc.cluster.local. 5 A 10.244.0.8
    "#]],
    );
    check(
        "10-244-0-9.db.n.svc.cluster.local",
        "A",
        expect![[r#"
        NXDOMAIN qr aa rd ra
        ? 10-244-0-9.db.n.svc.cluster.local.
        authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5
    "#]],
    );
    check(
        "_http._tcp.db.n.svc.cluster.local",
        "SRV",
        expect![[r#"
        NOERROR qr aa rd ra
        ? _http._tcp.db.n.svc.cluster.local.
        _http._tcp.db.n.svc.cluster.local. 5 SRV 0 50 8080 10-244-0-8.db.n.svc.cluster.local.
        _http._tcp.db.n.svc.cluster.local. 5 SRV 0 50 8080 db-0.db.n.svc.cluster.local.
        additional 10-244-0-8.db.n.svc.cluster.local. 5 A 10.244.0.8
        additional db-0.db.n.svc.cluster.local. 5 A 10.244.0.7
    "#]],
    );
    check(
        "portless.n.svc.cluster.local",
        "A",
        expect![[r#"
        NOERROR qr aa rd ra
        ? portless.n.svc.cluster.local.
        portless.n.svc.cluster.local. 5 A 10.244.0.5
    "#]],
    );
    check(
        "portless.n.svc.cluster.local",
        "SRV",
        expect![[r#"
        NOERROR qr aa rd ra
        ? portless.n.svc.cluster.local.
        authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5
    "#]],
    );
    check(
        "nobody.n.svc.cluster.local",
        "A",
        expect![[r#"
        NXDOMAIN qr aa rd ra
        ? nobody.n.svc.cluster.local.
        authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5
    "#]],
    );
}

#[test]
fn external_names() {
    check(
        "inside.n.svc.cluster.local",
        "A",
        expect![[r#"
        NOERROR qr aa rd ra
        ? inside.n.svc.cluster.local.
        inside.n.svc.cluster.local. 5 CNAME web.n.svc.cluster.local.
        web.n.svc.cluster.local. 5 A 10.96.1.1
    "#]],
    );
    check(
        "chain.n.svc.cluster.local",
        "A",
        expect![[r#"
        NOERROR qr aa rd ra
        ? chain.n.svc.cluster.local.
        chain.n.svc.cluster.local. 5 CNAME inside.n.svc.cluster.local.
        inside.n.svc.cluster.local. 5 CNAME web.n.svc.cluster.local.
        web.n.svc.cluster.local. 5 A 10.96.1.1
    "#]],
    );
    check(
        "chain.n.svc.cluster.local",
        "CNAME",
        expect![[r#"
        NOERROR qr aa rd ra
        ? chain.n.svc.cluster.local.
        chain.n.svc.cluster.local. 5 CNAME inside.n.svc.cluster.local.
    "#]],
    );
    check(
        "outside.n.svc.cluster.local",
        "A",
        expect![[r#"
        SERVFAIL qr aa rd ra
        ? outside.n.svc.cluster.local.
        outside.n.svc.cluster.local. 5 CNAME www.example.com.
    "#]],
    );
    check(
        "_http._tcp.outside.n.svc.cluster.local",
        "SRV",
        expect![[r#"
        NXDOMAIN qr aa rd ra
        ? _http._tcp.outside.n.svc.cluster.local.
        authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5
    "#]],
    );
}

#[test]
fn an_alias_of_itself_ends() {
    check(
        "circle.n.svc.cluster.local",
        "A",
        expect![[r#"
            SERVFAIL qr aa rd ra
            ? circle.n.svc.cluster.local.
            circle.n.svc.cluster.local. 5 CNAME circle.n.svc.cluster.local.
        "#]],
    );
}

#[test]
fn reverse_names() {
    check(
        "1.1.96.10.in-addr.arpa",
        "PTR",
        expect![[r#"
        NOERROR qr aa rd ra
        ? 1.1.96.10.in-addr.arpa.
        1.1.96.10.in-addr.arpa. 5 PTR web.n.svc.cluster.local.
    "#]],
    );
    check(
        "1.1.96.10.in-addr.arpa",
        "A",
        expect![[r#"
        NOERROR qr aa rd ra
        ? 1.1.96.10.in-addr.arpa.
        authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5
    "#]],
    );
    check(
        "7.0.244.10.in-addr.arpa",
        "PTR",
        expect![[r#"
        NOERROR qr aa rd ra
        ? 7.0.244.10.in-addr.arpa.
        7.0.244.10.in-addr.arpa. 5 PTR db-0.db.n.svc.cluster.local.
    "#]],
    );
    check(
        "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa",
        "PTR",
        expect![[r#"
        NOERROR qr aa rd ra
        ? 2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.
        2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa. 5 PTR dual.n.svc.cluster.local.
    "#]],
    );
    // An endpoint without a name of its own is the node's resolvers' to name; here there are none.
    check(
        "8.0.244.10.in-addr.arpa",
        "PTR",
        expect![[r#"
        SERVFAIL qr rd ra
        ? 8.0.244.10.in-addr.arpa.
    "#]],
    );
}

#[test]
fn pods() {
    check(
        "10-244-0-6.n.pod.cluster.local",
        "A",
        expect![[r#"
        NOERROR qr aa rd ra
        ? 10-244-0-6.n.pod.cluster.local.
        10-244-0-6.n.pod.cluster.local. 5 A 10.244.0.6
    "#]],
    );
    check(
        "fd00--6.n.pod.cluster.local",
        "AAAA",
        expect![[r#"
        NOERROR qr aa rd ra
        ? fd00--6.n.pod.cluster.local.
        fd00--6.n.pod.cluster.local. 5 AAAA fd00::6
    "#]],
    );
    check(
        "fd00--6.n.pod.cluster.local",
        "A",
        expect![[r#"
        NOERROR qr aa rd ra
        ? fd00--6.n.pod.cluster.local.
        authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5
    "#]],
    );
    check(
        "web.n.pod.cluster.local",
        "A",
        expect![[r#"
        NXDOMAIN qr aa rd ra
        ? web.n.pod.cluster.local.
        authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5
    "#]],
    );
    check(
        "10-244-0-6.other.pod.cluster.local",
        "A",
        expect![[r#"
        NXDOMAIN qr aa rd ra
        ? 10-244-0-6.other.pod.cluster.local.
        authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5
    "#]],
    );
}

#[test]
fn the_zone_itself() {
    check(
        "cluster.local",
        "SOA",
        expect![[r#"
        NOERROR qr aa rd ra
        ? cluster.local.
        cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5
    "#]],
    );
    check(
        "cluster.local",
        "NS",
        expect![[r#"
        NOERROR qr aa rd ra
        ? cluster.local.
        cluster.local. 5 NS ns.dns.cluster.local.
        additional ns.dns.cluster.local. 5 A 10.96.0.10
    "#]],
    );
    check(
        "ns.dns.cluster.local",
        "A",
        expect![[r#"
        NOERROR qr aa rd ra
        ? ns.dns.cluster.local.
        ns.dns.cluster.local. 5 A 10.96.0.10
    "#]],
    );
    check(
        "dns-version.cluster.local",
        "TXT",
        expect![[r#"
        NOERROR qr aa rd ra
        ? dns-version.cluster.local.
        dns-version.cluster.local. 5 TXT "1.1.0"
    "#]],
    );
    check(
        "cluster.local",
        "AXFR",
        expect![[r#"
        REFUSED qr rd ra
        ? cluster.local.
    "#]],
    );
}

#[test]
fn names_that_are_there_without_records_are_not_denied() {
    check(
        "svc.cluster.local",
        "A",
        expect![[r#"
        NOERROR qr aa rd ra
        ? svc.cluster.local.
        authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5
    "#]],
    );
    check(
        "n.svc.cluster.local",
        "A",
        expect![[r#"
        NOERROR qr aa rd ra
        ? n.svc.cluster.local.
        authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5
    "#]],
    );
    check(
        "other.svc.cluster.local",
        "A",
        expect![[r#"
        NXDOMAIN qr aa rd ra
        ? other.svc.cluster.local.
        authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5
    "#]],
    );
    check(
        "nothing.n.svc.cluster.local",
        "A",
        expect![[r#"
        NXDOMAIN qr aa rd ra
        ? nothing.n.svc.cluster.local.
        authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5
    "#]],
    );
    check(
        "a.b.c.d.n.svc.cluster.local",
        "A",
        expect![[r#"
        NXDOMAIN qr aa rd ra
        ? a.b.c.d.n.svc.cluster.local.
        authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5
    "#]],
    );
    check(
        "elsewhere.cluster.local",
        "A",
        expect![[r#"
        NXDOMAIN qr aa rd ra
        ? elsewhere.cluster.local.
        authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5
    "#]],
    );
    check(
        "mycluster.local",
        "A",
        expect![[r#"
        SERVFAIL qr rd ra
        ? mycluster.local.
    "#]],
    );
}
