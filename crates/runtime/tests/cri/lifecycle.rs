//! Containers from create to removal, over crashes, with limits.

use cri::v1;

use crate::harness::Server;

const SLEEP: [&str; 3] = ["sh", "-c", "trap 'exit 5' TERM; sleep 1000 & wait"];

#[tokio::test(flavor = "multi_thread")]
async fn a_container_runs_logs_and_ends() {
    let mut server = Server::start().await;
    let sandbox = server.sandbox(|_| {}).await;
    let id = server
        .run(&sandbox, &["sh", "-c", "echo out; echo err >&2; hostname; echo $FROM $HOSTNAME; exit 3"])
        .await;
    let status = server.ended(&id).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (3, "Error"));
    assert!(status.started_at > 0 && status.finished_at >= status.started_at);
    let log = std::fs::read_to_string(server.logs().join("c/0.log")).unwrap();
    let mut lines: Vec<&str> = log.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["stderr F err", "stdout F image p-host", "stdout F out", "stdout F p-host"], "{log}");
    server.remove_sandbox(&sandbox).await;
    assert_eq!(server.traces(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_runs_inside_and_reports_its_code() {
    let mut server = Server::start().await;
    let sandbox = server.sandbox(|_| {}).await;
    let id = server.run(&sandbox, &SLEEP).await;
    assert_eq!(
        server.exec(&id, "echo $$ >/dev/null; ls /proc/1/exe >/dev/null; id -u; exit 7").await,
        ("0\n".into(), 7)
    );
    let (processes, _) = server.exec(&id, "ls -d /proc/[0-9]* | wc -l").await;
    assert!(processes.trim().parse::<u32>().unwrap() <= 6, "sees the host's processes: {processes}");
    let request =
        v1::ExecSyncRequest { container_id: id.clone(), cmd: vec!["sleep".into(), "9".into()], timeout: 1 };
    let refused = server.client.exec_sync(request).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::DeadlineExceeded);
    let request = v1::ExecSyncRequest { container_id: id.clone(), cmd: vec!["nope".into()], timeout: 1 };
    let refused = server.client.exec_sync(request).await.unwrap_err();
    assert!(refused.message().contains("executable file not found in $PATH"), "{refused}");
    server.remove_sandbox(&sandbox).await;
    assert_eq!(server.traces(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_command_is_a_start_error() {
    let mut server = Server::start().await;
    let sandbox = server.sandbox(|_| {}).await;
    let id = server.create(&sandbox, &["/no/such"], |_| {}).await;
    let refused = server.client.start_container(v1::StartContainerRequest { container_id: id.clone() }).await;
    let message = refused.unwrap_err().message().to_owned();
    assert!(message.contains("no such file or directory"), "{message}");
    let status = server.status(&id).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (128, "StartError"));
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_the_server_touches_no_container() {
    let mut server = Server::start().await;
    let sandbox = server.sandbox(|_| {}).await;
    let stays = server.run(&sandbox, &SLEEP).await;
    let ends = server
        .create(&sandbox, &["sh", "-c", "sleep 0.3; echo last; exit 9"], |c| c.log_path = "e.log".into());
    let ends = ends.await;
    server.start_container(&ends).await;
    let before = server.status(&stays).await;
    server.kill();
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    server.start_again().await;
    let after = server.status(&stays).await;
    assert_eq!(after.state(), v1::ContainerState::ContainerRunning);
    assert!((after.started_at - before.started_at).abs() < 1_000_000_000);
    assert_eq!(server.exec(&stays, "echo still").await, ("still\n".into(), 0));
    let ended = server.status(&ends).await;
    assert_eq!((ended.state(), ended.exit_code), (v1::ContainerState::ContainerExited, 9));
    assert!(std::fs::read_to_string(server.logs().join("e.log")).unwrap().contains("stdout F last"));
    server.remove_sandbox(&sandbox).await;
    assert_eq!(server.traces(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_asks_first_and_kills_after_the_grace() {
    let mut server = Server::start().await;
    let sandbox = server.sandbox(|_| {}).await;
    let polite = server.run(&sandbox, &SLEEP).await;
    let deaf = server.run(&sandbox, &["sh", "-c", "trap '' TERM; while :; do sleep 1000; done"]).await;
    for (id, timeout, code) in [(&polite, 10, 5), (&deaf, 1, 137)] {
        let request = v1::StopContainerRequest { container_id: id.clone(), timeout };
        server.client.stop_container(request).await.unwrap();
        assert_eq!(server.status(id).await.exit_code, code);
    }
    let request = v1::StopPodSandboxRequest { pod_sandbox_id: sandbox.clone() };
    for _ in 0..2 {
        server.client.stop_pod_sandbox(request.clone()).await.unwrap();
    }
    let request = v1::PodSandboxStatusRequest { pod_sandbox_id: sandbox.clone(), verbose: false };
    let status = server.client.pod_sandbox_status(request).await.unwrap().into_inner().status.unwrap();
    assert_eq!(status.state(), v1::PodSandboxState::SandboxNotready);
    for _ in 0..2 {
        server.remove_sandbox(&sandbox).await;
    }
    assert_eq!(server.traces(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_rights_and_mounts_are_kept() {
    let mut server = Server::start().await;
    let sandbox = server.sandbox(|_| {}).await;
    let volume = server.folder.path().join("volume");
    std::fs::create_dir(&volume).unwrap();
    std::fs::write(volume.join("file"), "from the host").unwrap();
    let id = server
        .create(&sandbox, &SLEEP, |config| {
            config.mounts = vec![v1::Mount {
                container_path: "/data/deep".to_owned(),
                host_path: volume.display().to_string(),
                readonly: true,
                ..Default::default()
            }];
            let linux = config.linux.as_mut().unwrap();
            linux.resources =
                Some(v1::LinuxContainerResources { memory_limit_in_bytes: 64 << 20, ..Default::default() });
            let security = linux.security_context.as_mut().unwrap();
            security.run_as_username = "web".to_owned();
            security.readonly_rootfs = true;
            security.no_new_privs = true;
            security.masked_paths = vec!["/proc/interrupts".to_owned(), "/proc/scsi".to_owned()];
            security.readonly_paths = vec!["/proc/sys".to_owned()];
            security.seccomp = Some(v1::SecurityProfile::default());
            security.capabilities =
                Some(v1::Capability { drop_capabilities: vec!["ALL".to_owned()], ..Default::default() });
        })
        .await;
    server.start_container(&id).await;
    let limit =
        "cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes";
    for (command, expected, code) in [
        (limit, "67108864\n", 0),
        ("id -u; id -g; id -G; echo $HOME", "33\n34\n34 50\n/srv\n", 0),
        ("cat /data/deep/file", "from the host", 0),
        ("touch /data/deep/x 2>/dev/null", "", 1),
        ("touch /x 2>/dev/null", "", 1),
        ("echo 1 2>/dev/null >/proc/sys/kernel/domainname", "", 1),
        ("head -c 1 /proc/interrupts | wc -c", "0\n", 0),
        ("touch /dev/shm/x && cat /etc/hostname", "p-host\n", 0),
        ("grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status | wc -l; :", "", 0),
    ] {
        let command = command.replace("grep -E", "busybox grep -E");
        let (text, exit) = server.exec(&id, &command).await;
        if expected.is_empty() {
            assert_eq!(exit, code, "{command}: {text}");
        } else {
            assert_eq!((text.as_str(), exit), (expected, code), "{command}");
        }
    }
    let (rights, _) =
        server.exec(&id, "busybox grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status").await;
    let rights: Vec<&str> = rights.split_whitespace().collect();
    let none = "0000000000000000";
    assert_eq!(rights, ["CapEff:", none, "CapBnd:", none, "NoNewPrivs:", "1", "Seccomp:", "2"]);
    let stats = v1::ContainerStatsRequest { container_id: id.clone() };
    let stats = server.client.container_stats(stats).await.unwrap().into_inner().stats.unwrap();
    assert!(stats.memory.unwrap().usage_bytes.unwrap().value > 0);
    assert!(stats.cpu.unwrap().usage_core_nano_seconds.unwrap().value > 0);
    server.remove_sandbox(&sandbox).await;
    assert_eq!(server.traces(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_memory_is_said() {
    let mut server = Server::start().await;
    let sandbox = server.sandbox(|_| {}).await;
    let hungry = "x=0123456789abcdef; while :; do x=$x$x; done";
    let id = server
        .create(&sandbox, &["sh", "-c", hungry], |config| {
            config.linux.as_mut().unwrap().resources =
                Some(v1::LinuxContainerResources { memory_limit_in_bytes: 16 << 20, ..Default::default() });
        })
        .await;
    server.start_container(&id).await;
    let status = server.ended(&id).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (137, "OOMKilled"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_may_share_its_processes() {
    let mut server = Server::start().await;
    let sandbox = server
        .sandbox(|config| {
            let security = config.linux.as_mut().unwrap().security_context.as_mut().unwrap();
            security.namespace_options = Some(v1::NamespaceOption::default());
        })
        .await;
    let share = |config: &mut v1::ContainerConfig| {
        let security = config.linux.as_mut().unwrap().security_context.as_mut().unwrap();
        security.namespace_options = Some(v1::NamespaceOption::default());
    };
    let first = server.create(&sandbox, &["sleep", "4321"], share).await;
    let second = server.create(&sandbox, &SLEEP, share).await;
    server.start_container(&first).await;
    server.start_container(&second).await;
    let (seen, _) = server.exec(&second, "cat /proc/[0-9]*/cmdline | busybox tr '\\0' ' '").await;
    assert!(seen.contains("sleep 4321"), "{seen}");
    let (root, code) = server.exec(&second, "ls /proc/1/root/ 2>&1").await;
    assert_ne!(code, 0, "the pause process shows files: {root}");
    let request = v1::StopContainerRequest { container_id: first.clone(), timeout: 0 };
    server.client.stop_container(request).await.unwrap();
    assert_eq!(server.status(&second).await.state(), v1::ContainerState::ContainerRunning);
    server.remove_sandbox(&sandbox).await;
    assert_eq!(server.traces(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_reopened() {
    let mut server = Server::start().await;
    let sandbox = server.sandbox(|_| {}).await;
    let id = server
        .run(&sandbox, &["sh", "-c", "echo one; while ! test -e /tmp/go; do sleep 0.05; done; echo two"])
        .await;
    let log = server.logs().join("c/0.log");
    assert_eq!(server.exec(&id, "echo").await.1, 0);
    std::fs::rename(&log, log.with_extension("1")).unwrap();
    let request = v1::ReopenContainerLogRequest { container_id: id.clone() };
    server.client.reopen_container_log(request).await.unwrap();
    server.exec(&id, "touch /tmp/go").await;
    server.ended(&id).await;
    assert!(std::fs::read_to_string(log.with_extension("1")).unwrap().contains("one"));
    assert!(std::fs::read_to_string(&log).unwrap().contains("two"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_logged_and_the_host_can_be_shared() {
    let mut server = Server::start().await;
    let sandbox = server
        .sandbox(|config| {
            let security = config.linux.as_mut().unwrap().security_context.as_mut().unwrap();
            let node = v1::NamespaceMode::Node as i32;
            security.namespace_options =
                Some(v1::NamespaceOption { network: node, pid: node, ipc: node, ..Default::default() });
        })
        .await;
    let script =
        "test -t 0 && test -t 1 && test -e /dev/console && echo terminal; ls -d /proc/[0-9]* | wc -l";
    let id = server
        .create(&sandbox, &["sh", "-c", script], |config| {
            config.tty = true;
            config.working_dir = "/made/for/it".to_owned();
            let security = config.linux.as_mut().unwrap().security_context.as_mut().unwrap();
            security.privileged = true;
            security.readonly_rootfs = true;
            let node = v1::NamespaceMode::Node as i32;
            security.namespace_options = Some(v1::NamespaceOption { pid: node, ..Default::default() });
        })
        .await;
    server.start_container(&id).await;
    assert_eq!(server.ended(&id).await.exit_code, 0);
    let log = std::fs::read_to_string(server.logs().join("c/0.log")).unwrap();
    let lines: Vec<&str> = log.lines().map(|line| line.split_once(" stdout F ").unwrap().1.trim()).collect();
    assert_eq!(lines[0], "terminal", "{log}");
    assert!(lines[1].parse::<u32>().unwrap() > 10, "does not see the host's processes: {log}");
    server.remove_sandbox(&sandbox).await;
    assert_eq!(server.traces(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_change_while_it_runs() {
    let mut server = Server::start().await;
    let sandbox = server.sandbox(|_| {}).await;
    let id = server.run(&sandbox, &SLEEP).await;
    let linux = v1::LinuxContainerResources {
        memory_limit_in_bytes: 32 << 20,
        cpu_shares: 512,
        ..Default::default()
    };
    let request = v1::UpdateContainerResourcesRequest {
        container_id: id.clone(),
        linux: Some(linux.clone()),
        ..Default::default()
    };
    server.client.update_container_resources(request).await.unwrap();
    assert_eq!(server.status(&id).await.resources.unwrap().linux.unwrap(), linux);
    let limit =
        "cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes";
    assert_eq!(server.exec(&id, limit).await.0, "33554432\n");
    server.remove_sandbox(&sandbox).await;
    assert_eq!(server.traces(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_shim_a_pod_is_over() {
    let mut server = Server::start().await;
    let sandbox = server.sandbox(|_| {}).await;
    let id = server.run(&sandbox, &SLEEP).await;
    server.end_shims();
    let status = server.ended(&id).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (255, "Error"));
    server.remove_sandbox(&sandbox).await;
    assert_eq!(server.traces(), [""; 0]);
}
