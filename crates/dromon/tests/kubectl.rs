//! Upstream's kubectl and ours run the same command lines against the same cluster: what they print, on which stream,
//! and how they end must be equal. The lines stand in `kubectl/cases.txt`. Needs root, and kubectl 1.36 on the path.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use regex::Regex;

const API_PORT: u16 = 16543;
const KUBELET_PORT: u16 = 16544;

/// A cluster, and a folder with a namespace's kubeconfig for each program.
struct Arena {
    folder: tempfile::TempDir,
    rules: Vec<(Regex, &'static str)>,
}

/// One of the two programs, in a namespace of its own.
struct Side {
    program: PathBuf,
    namespace: &'static str,
    kubeconfig: PathBuf,
    home: PathBuf,
}

impl Arena {
    fn up() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let arena = Self { folder, rules: rules() };
        let (api, kubelet) = (API_PORT.to_string(), KUBELET_PORT.to_string());
        let output = arena
            .dromon("up")
            .args(["--detach", "--api-port", &api, "--kubelet-port", &kubelet, "--pod-cidr", "10.213.0.0/16"])
            .output()
            .expect("dromon starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        symlink(env!("CARGO_BIN_EXE_dromon"), arena.path("kubectl")).expect("a link");
        arena
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn dromon(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dromon"));
        command.arg(name).arg("--data-dir").arg(self.path("data"));
        command
    }

    fn side(&self, program: PathBuf, namespace: &'static str) -> Side {
        let admin = fs::read_to_string(self.path("data").join("admin.kubeconfig")).expect("a kubeconfig");
        let user = Regex::new(r"(?m)^    user: .*$").expect("an expression");
        let own = user.replace(&admin, |found: &regex::Captures<'_>| {
            format!("{}\n    namespace: {namespace}", &found[0])
        });
        let kubeconfig = self.path(&format!("{namespace}.kubeconfig"));
        fs::write(&kubeconfig, own.as_bytes()).expect("is written");
        let side = Side { program, namespace, kubeconfig, home: self.path(&format!("home-{namespace}")) };
        side.run(&["create".into(), "namespace".into(), namespace.into()]);
        side.run(&["wait".into(), "--for=create".into(), "serviceaccount/default".into()]);
        side
    }

    /// What differs between two runs of the same program: times, names of namespaces, ids, revisions.
    fn normal(&self, side: &Side, text: &str) -> String {
        let text = text.replace(side.namespace, "NS");
        self.rules.iter().fold(text, |text, (rule, with)| rule.replace_all(&text, *with).into_owned())
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        let reset = self.dromon("reset").arg("--yes").output().expect("dromon starts");
        if !thread::panicking() {
            assert!(reset.status.success(), "{}", String::from_utf8_lossy(&reset.stderr));
        }
    }
}

impl Side {
    fn run(&self, words: &[String]) -> String {
        let output = Command::new(&self.program)
            .args(words)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", &self.home)
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .output()
            .expect("kubectl starts");
        format!(
            "{}--- standard error\n{}--- exit code {}\n",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            output.status.code().unwrap_or(-1)
        )
    }
}

fn rules() -> Vec<(Regex, &'static str)> {
    [
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}", "UID"),
        (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
        (r"\w{3}, \d\d \w{3} \d{4} [\d:]+ \+0000", "TIME"),
        (r#"(resourceVersion"?: ?"?)\d+"#, "${1}RV"),
        (r" +(\d+[smhdy])+\b *", " AGE "),
        (r"AGE +", "AGE "),
        (r"\b10\.(9[6-9]|10\d|11[01])\.\d+\.\d+ *", "IP "),
        (r"pod-template-hash=\w+", "pod-template-hash=HASH"),
        (r"-[0-9a-f]{8,10}\b", "-HASH"),
        (r"(?m) +$", ""),
    ]
    .into_iter()
    .map(|(rule, with)| (Regex::new(rule).expect("an expression"), with))
    .collect()
}

/// Words between spaces; `\ ` is a space, `@name` a file beside the cases.
fn words(line: &str, files: &Path) -> Vec<String> {
    let spaced = line.replace("\\ ", "\u{0}");
    spaced
        .split(' ')
        .map(|word| word.replace('\u{0}', " "))
        .map(|word| match word.find('@').filter(|at| !word[at + 1..].starts_with('.')) {
            Some(at) => format!("{}{}", &word[..at], files.join(&word[at + 1..]).display()),
            None => word,
        })
        .collect()
}

#[test]
fn both_programs_say_the_same() {
    let arena = Arena::up();
    let ours = arena.side(arena.path("kubectl"), "nsours");
    let theirs = arena.side("kubectl".into(), "nsupst");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kubectl");
    let cases = fs::read_to_string(folder.join("cases.txt")).expect("the cases");
    let mut differing = Vec::new();
    for line in cases.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (is_known, line) = line.strip_prefix('!').map_or((false, line), |line| (true, line));
        let words = words(line, &folder.join("files"));
        let (a, b) = thread::scope(|scope| {
            let own = scope.spawn(|| ours.run(&words));
            let other = theirs.run(&words);
            (own.join().expect("runs"), other)
        });
        let (a, b) = (arena.normal(&ours, &a), arena.normal(&theirs, &b));
        if a != b && !is_known {
            differing.push(format!("kubectl {line}\n=== upstream\n{b}=== ours\n{a}"));
        }
    }
    assert!(differing.is_empty(), "{} lines differ:\n{}", differing.len(), differing.join("\n"));
}
