//! Clients without a socket: the same identity checks, typed objects, shared informers.

use apiserver::auth::UserInfo;
use apiserver::testing::TestServer;
use client::{Hub, Key};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, PostParams};
use stdx::{Shutdown, Tasks};

use super::{config_map, create_pod};

#[tokio::test]
async fn an_informer_follows_what_is_written() {
    let server = TestServer::start().await;
    let client = server.handle.client(UserInfo::apiserver());
    let (_trigger, shutdown) = Shutdown::new();
    let hub = Hub::new(client.clone(), server.clock.clone(), Tasks::new(), shutdown);
    let store = hub.store::<ConfigMap>();
    let pods = hub.store::<Pod>();
    assert!(store.synced().await && pods.synced().await);

    let mut changes = store.subscribe();
    let map: ConfigMap = serde_json::from_value(config_map("a", "1")).expect("typed");
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    let made = api.create(&PostParams::default(), &map).await.expect("created");
    assert!(made.metadata.uid.is_some());
    changes.recv().await.expect("a change");
    assert_eq!(store.get(&Key::new("default", "a")).expect("there").metadata.uid, made.metadata.uid);

    let mut changes = pods.subscribe();
    create_pod(&server, "p", serde_json::json!({})).await;
    changes.recv().await.expect("a change");
    assert!(pods.get(&Key::new("default", "p")).is_some());
}

#[tokio::test]
async fn a_stranger_is_refused_in_process_too() {
    let server = TestServer::start().await;
    let api: Api<ConfigMap> = Api::default_namespaced(server.handle.client(UserInfo::component("stranger")));
    let error = api.get("a").await.expect_err("refused");
    let kube::Error::Api(status) = error else { panic!("{error}") };
    assert_eq!(
        status.message,
        r#"configmaps "a" is forbidden: User "stranger" cannot get resource "configmaps" in API group "" in the namespace "default""#
    );
}

#[tokio::test]
async fn components_may_do_their_work() {
    let server = TestServer::start().await;
    let api: Api<Pod> = Api::all(server.handle.client(UserInfo::component("system:kube-scheduler")));
    api.list(&Default::default()).await.expect("the scheduler lists pods");
}
