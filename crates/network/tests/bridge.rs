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
    in_a_namespace("outer", scenario());
}

#[test]
fn half_done_work_is_done_again_and_foreign_devices_stay() {
    in_a_namespace("half", half_done());
}

#[test]
fn any_runtime_may_call_it_as_a_cni_plugin() {
    in_a_namespace("cni", as_a_plugin());
}

fn in_a_namespace(name: &str, scenario: impl Future<Output = ()> + Send + 'static) {
    let outer = Namespace::new(name);
    // The whole test lives in a namespace of its own: its bridge is nobody else's.
    let file = std::fs::File::open(outer.path()).expect("a namespace");
    let thread = std::thread::spawn(move || {
        rustix::thread::move_into_link_name_space(
            std::os::fd::AsFd::as_fd(&file),
            Some(rustix::thread::LinkNameSpaceType::Network),
        )
        .expect("enters");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(scenario);
    });
    thread.join().expect("the scenario holds");
}

fn config(state: &tempfile::TempDir) -> Config {
    Config { bridge: "cni0".into(), state: state.path().into(), table: "dromon-test".into(), mtu: 1400 }
}

async fn half_done() {
    let state = tempfile::tempdir().expect("a folder");
    let bridge = Bridge::new(config(&state));
    bridge.set_pod_cidr("10.250.0.0/24").expect("sets up");
    let (first, second) = (Namespace::new("first"), Namespace::new("second"));
    let given = bridge.attach(&pod("p", first.path())).await.expect("attaches");
    // A crash after the devices were made: addresses and routes come with the next attempt.
    run(&format!("ip -n {} addr flush dev eth0", first.0));
    run(&format!("ip -n {} link set lo down", first.0));
    assert_eq!(bridge.attach(&pod("p", first.path())).await.expect("attaches again"), given);
    let state_of = run(&format!("ip -n {} -o addr", first.0)) + &run(&format!("ip -n {} route", first.0));
    assert!(state_of.contains("10.250.0.2/24") && state_of.contains("127.0.0.1/8"), "{state_of}");
    assert!(state_of.contains("default via 10.250.0.1 dev eth0"), "{state_of}");
    let devices = run(&format!("ip -n {} -o link", first.0)) + &run("bridge -d link");
    assert!(devices.contains("mtu 1400") && devices.contains("hairpin on"), "{devices}");
    // The same sandbox in another namespace: the old pair makes room.
    assert_eq!(bridge.attach(&pod("p", second.path())).await.expect("moves"), given);
    assert!(run(&format!("ip -n {} -o addr", second.0)).contains("10.250.0.2/24"));
    // A namespace with an eth0 of somebody else's is refused, and nothing of the attempt stays.
    run(&format!("ip -n {} link add eth0 type veth peer name other", first.0));
    let error = bridge.attach(&pod("q", first.path())).await.expect_err("refused");
    assert_eq!(error.to_string(), "cannot connect pod n/q");
    assert!(run(&format!("ip -n {} -o link", first.0)).contains("eth0@other"));
    let error = bridge.attach(&pod("r", "/nowhere".into())).await.expect_err("refused");
    assert_eq!(error.to_string(), "cannot connect pod n/r");
    let held: Vec<_> =
        std::fs::read_dir(state.path()).expect("readable").map(|e| e.expect("entry").file_name()).collect();
    assert_eq!(held.len(), 2, "p's address and last_reserved: {held:?}");
    // What a crash left is given back.
    bridge.retain(&Default::default()).expect("cleans up");
    assert!(!run("ip -o link").contains("veth"));
}

async fn as_a_plugin() {
    let state = tempfile::tempdir().expect("a folder");
    let inner = Namespace::new("pod");
    let conf = format!(
        r#"{{"cniVersion": "1.0.0", "name": "net", "type": "dromon", "dataDir": {:?}, "bridge": "cni7",
            "ipam": {{"subnet": "10.251.0.0/24"}}, "cni.dev/valid-attachments": []}}"#,
        state.path()
    );
    let call = |command: &str| {
        let env = |name: &str| match name {
            "CNI_COMMAND" => Some(command.to_owned()),
            "CNI_CONTAINERID" => Some("abc".to_owned()),
            "CNI_NETNS" => Some(inner.path().display().to_string()),
            "CNI_IFNAME" => Some("eth0".to_owned()),
            _ => None,
        };
        let mut out = Vec::new();
        let code = std::thread::scope(|scope| {
            let plugin = scope.spawn(|| network::cni::run(&env, &mut conf.as_bytes(), &mut out));
            plugin.join().expect("no panic")
        });
        (code, String::from_utf8(out).expect("text"))
    };
    let (code, result) = call("ADD");
    assert_eq!(code, 0, "{result}");
    let expected = r#""ips":[{"address":"10.251.0.2/24","gateway":"10.251.0.1","interface":1}]"#;
    assert!(result.contains(expected), "{result}");
    assert_eq!(call("CHECK"), (0, String::new()));
    assert_eq!(call("DEL"), (0, String::new()));
    assert_eq!(call("DEL"), (0, String::new()));
    let (code, result) = call("CHECK");
    assert!(code == 1 && result.contains("it has no address"), "{result}");
    assert_eq!(call("ADD").0, 0);
    assert_eq!(call("GC"), (0, String::new()));
    assert!(!run("ip -o link").contains("veth"));
}

async fn scenario() {
    let state = tempfile::tempdir().expect("a folder");
    let config = config(&state);
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
