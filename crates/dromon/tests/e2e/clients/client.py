"""What the Python client's users do: objects, a watch, an apply, a command in a container."""

from kubernetes import client, config, watch
from kubernetes.stream import stream

config.load_kube_config()
core = client.CoreV1Api()

version = client.VersionApi().get_code()
assert (version.major, version.minor) == ("1", "36"), version

created = core.create_namespaced_config_map("default", {"metadata": {"name": "py"}, "data": {"a": "1"}})
assert created.metadata.uid and created.data == {"a": "1"}, created
since = core.list_namespaced_config_map("default").metadata.resource_version
core.patch_namespaced_config_map("py", "default", {"data": {"a": "2", "b": "3"}})
core.delete_namespaced_config_map("py", "default")
seen = []
for event in watch.Watch().stream(core.list_namespaced_config_map, "default", resource_version=since):
    if event["object"].metadata.name == "py":
        seen.append((event["type"], event["object"].data))
    if event["type"] == "DELETED":
        break
assert seen == [("MODIFIED", {"a": "2", "b": "3"}), ("DELETED", {"a": "2", "b": "3"})], seen

try:
    core.read_namespaced_config_map("py", "default")
    raise AssertionError("it is still there")
except client.ApiException as error:
    assert error.status == 404 and 'configmaps \\"py\\" not found' in error.body, error.body

wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"x": "1"}}
apply = {"_content_type": "application/apply-patch+yaml", "force": True}
for _ in range(2):
    applied = core.patch_namespaced_config_map("applied", "default", wanted, field_manager="py", **apply)
assert [entry.manager for entry in applied.metadata.managed_fields] == ["py"], applied
core.delete_namespaced_config_map("applied", "default")

image = "dromon.dev/demo:latest"
container = {"name": "demo", "image": image, "imagePullPolicy": "IfNotPresent"}
core.create_namespaced_pod("default", {"metadata": {"name": "py"}, "spec": {"containers": [container]}})
for event in watch.Watch().stream(core.list_namespaced_pod, "default", field_selector="metadata.name=py"):
    if event["object"].status.phase == "Running":
        break
said = stream(core.connect_get_namespaced_pod_exec, "py", "default", command=["/dromon", "--version"], stdout=True)
assert said.startswith("dromon "), said
assert "listening on port 8080" in core.read_namespaced_pod_log("py", "default")
core.delete_namespaced_pod("py", "default", grace_period_seconds=0)
print("ok")
