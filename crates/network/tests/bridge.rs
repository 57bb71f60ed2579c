//! The real thing, in a network namespace of the test's own: needs root.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;

use network::{Bridge, Config, Pod, PodNetwork};

fn run(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let output =
        Command::new(words[0]).args(&words[1..]).output().unwrap_or_else(|error| panic!("{line}: {error}"));
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Network namespaces that go with the test.
struct Namespace(String);

impl Namespace {
    fn new(name: &str) -> Self {
        let name = format!("dromon-test-{}-{name}", std::process::id());
        run(&format!("ip netns add {name}"));
        Self(name)
    }

    fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.0)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // A failure to clean up must not hide the test's own.
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

fn pod(id: &str, netns: PathBuf) -> Pod {
    Pod {
        sandbox_id: id.into(),
        namespace: "n".into(),
        name: id.into(),
        uid: id.into(),
        netns,
        ports: vec![],
    }
}

#[test]
fn pods_reach_each_other_and_nothing_stays() {
    let outer = Namespace::new("outer");
    // The whole test lives in a namespace of its own: its bridge is nobody else's.
    let file = std::fs::File::open(outer.path()).expect("a namespace");
    let thread = std::thread::spawn(move || {
        rustix::thread::move_into_link_name_space(
            std::os::fd::AsFd::as_fd(&file),
            Some(rustix::thread::LinkNameSpaceType::Network),
        )
        .expect("enters");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(scenario());
    });
    thread.join().expect("the scenario holds");
}

async fn scenario() {
    let state = tempfile::tempdir().expect("a folder");
    let config =
        Config { bridge: "cni0".into(), state: state.path().into(), table: "dromon-test".into(), mtu: 1500 };
    let bridge = Bridge::new(config.clone());
    assert!(bridge.not_ready().is_some());
    bridge.set_pod_cidr("10.250.0.0/24").expect("sets up");
    assert!(bridge.not_ready().is_none());
    let (one, two) = (Namespace::new("one"), Namespace::new("two"));
    let first = bridge.attach(&pod("one", one.path())).await.expect("attaches");
    let second = bridge.attach(&pod("two", two.path())).await.expect("attaches");
    assert_eq!(first.addresses, ["10.250.0.2".parse::<IpAddr>().expect("an address")]);
    assert_eq!(second.addresses, ["10.250.0.3".parse::<IpAddr>().expect("an address")]);
    assert_eq!(bridge.attach(&pod("one", one.path())).await.expect("again"), first);
    let links = run(&format!("ip -n {} -o addr", one.0));
    assert!(links.contains("eth0") && links.contains("10.250.0.2/24"), "{links}");
    // TCP from one pod to the other.
    let listener = listen(&two);
    let reached = reach(&one, "10.250.0.3:7777");
    assert!(reached, "one pod does not reach the other");
    drop(listener);
    let rules = run("nft list table ip dromon-test");
    assert!(rules.contains("masquerade"), "{rules}");
    bridge.detach(&pod("one", one.path())).await.expect("detaches");
    bridge.detach(&pod("one", one.path())).await.expect("detaches again");
    bridge.retain(&Default::default()).expect("cleans up");
    assert_eq!(std::fs::read_dir(state.path()).expect("readable").count(), 1, "only last_reserved stays");
    Bridge::teardown(&config).expect("tears down");
    assert!(!run("ip -o link").contains("cni0") && !run("nft list tables").contains("dromon"));
}

fn within<T: Send + 'static>(namespace: &Namespace, work: impl FnOnce() -> T + Send + 'static) -> T {
    let file = std::fs::File::open(namespace.path()).expect("a namespace");
    let thread = std::thread::spawn(move || {
        rustix::thread::move_into_link_name_space(
            std::os::fd::AsFd::as_fd(&file),
            Some(rustix::thread::LinkNameSpaceType::Network),
        )
        .expect("enters");
        work()
    });
    thread.join().expect("the thread ends")
}

fn listen(namespace: &Namespace) -> std::net::TcpListener {
    within(namespace, || std::net::TcpListener::bind("0.0.0.0:7777").expect("listens"))
}

fn reach(namespace: &Namespace, address: &str) -> bool {
    let address = address.parse().expect("an address");
    within(namespace, move || {
        std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_secs(3)).is_ok()
    })
}
