//! Reads metrics through the API: metrics.k8s.io, custom.metrics.k8s.io, external.metrics.k8s.io.
//!
//! Upstream: pkg/controller/podautoscaler/metrics/client.go.

use std::time::Duration;

use http::Request;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Client;
use serde_json::Value;

use super::replicas::{Sample, Samples};

/// How long custom metrics are taken to be measured over.
const WINDOW: Duration = Duration::from_secs(60);

/// Why a metric cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("unable to fetch metrics from resource metrics API")]
    Resource { source: kube::Error },
    #[error("unable to fetch metrics from custom metrics API")]
    Custom { source: kube::Error },
    #[error("unable to fetch metrics from external metrics API")]
    External { source: kube::Error },
    #[error("no metrics returned from {api} metrics API")]
    Empty { api: &'static str },
    #[error("container {container} not present in metrics for pod {pod}")]
    Container { container: String, pod: String },
    #[error("the metrics API answered with {text:?}, which is no quantity")]
    Quantity { text: String },
}

/// A query's text, escaped.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

async fn get(client: &Client, path: &str) -> kube::Result<Value> {
    let request = Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
    client.request(request).await
}

/// In thousandths.
pub(super) fn milli(text: &str) -> Result<i64, Error> {
    let parsed = text.parse::<api::quantity::Quantity>();
    parsed.map(api::quantity::Quantity::milli_value).map_err(|_| Error::Quantity { text: text.to_owned() })
}

fn quantity(value: &Value) -> Result<i64, Error> {
    milli(value.as_str().unwrap_or_default())
}

/// What the pods use of a resource, or one container of each.
pub(super) async fn of_resource(
    client: &Client,
    namespace: &str,
    selector: &str,
    resource: &str,
    container: Option<&str>,
) -> Result<Samples, Error> {
    let path = format!(
        "/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods?labelSelector={}",
        escaped(selector)
    );
    let list = get(client, &path).await.map_err(|source| Error::Resource { source })?;
    let items = list["items"].as_array().map_or(&[][..], Vec::as_slice);
    if items.is_empty() {
        return Err(Error::Empty { api: "resource" });
    }
    let mut samples = Samples::new();
    for item in items {
        if let Some(sample) = pod_sample(item, resource, container)? {
            samples.insert(item["metadata"]["name"].as_str().unwrap_or_default().to_owned(), sample);
        }
    }
    Ok(samples)
}

/// None where a container tells nothing of the resource: then the pod counts as missing.
fn pod_sample(item: &Value, resource: &str, container: Option<&str>) -> Result<Option<Sample>, Error> {
    let all = item["containers"].as_array().map_or(&[][..], Vec::as_slice);
    let chosen: Vec<&Value> =
        all.iter().filter(|c| container.is_none_or(|wanted| c["name"] == wanted)).collect();
    if let Some(container) = container
        && chosen.is_empty()
    {
        let pod = item["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        return Err(Error::Container { container: container.to_owned(), pod });
    }
    let mut total = 0;
    for one in &chosen {
        let usage = &one["usage"][resource];
        if usage.is_null() {
            return Ok(None);
        }
        total += quantity(usage)?;
    }
    Ok((!chosen.is_empty()).then(|| Sample { milli: total, at: time(item), window: window(item) }))
}

fn time(item: &Value) -> Timestamp {
    // A time that cannot be read is as old as can be: the sample then proves nothing of a starting pod.
    item["timestamp"].as_str().and_then(|text| text.parse().ok()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// `30s`, `1m0s` or, of custom metrics, a number of seconds.
fn window(item: &Value) -> Duration {
    let seconds = item["windowSeconds"].as_u64().map(Duration::from_secs);
    let text = item["window"].as_str().unwrap_or_default();
    // What is no span is taken for the usual one.
    let span = text.parse::<jiff::SignedDuration>().ok().and_then(|span| Duration::try_from(span).ok());
    seconds.or(span).unwrap_or(WINDOW)
}

fn selector_text(selector: Option<&LabelSelector>) -> Option<String> {
    let selector = selector?;
    let exact = selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}={value}"));
    let others = selector.match_expressions.iter().flatten().map(|r| {
        let values = r.values.clone().unwrap_or_default().join(",");
        match r.operator.as_str() {
            "In" => format!("{} in ({values})", r.key),
            "NotIn" => format!("{} notin ({values})", r.key),
            "Exists" => r.key.clone(),
            _ => format!("!{}", r.key),
        }
    });
    Some(exact.chain(others).collect::<Vec<_>>().join(","))
}

/// A custom metric of each pod.
pub(super) async fn of_pods(
    client: &Client,
    namespace: &str,
    selector: &str,
    metric: &str,
    metric_selector: Option<&LabelSelector>,
) -> Result<Samples, Error> {
    let mut path = format!(
        "/apis/custom.metrics.k8s.io/v1beta2/namespaces/{namespace}/pods/*/{metric}?labelSelector={}",
        escaped(selector)
    );
    if let Some(text) = selector_text(metric_selector) {
        path.push_str(&format!("&metricLabelSelector={}", escaped(&text)));
    }
    let list = get(client, &path).await.map_err(|source| Error::Custom { source })?;
    let items = list["items"].as_array().map_or(&[][..], Vec::as_slice);
    if items.is_empty() {
        return Err(Error::Empty { api: "custom" });
    }
    let sample = |item: &Value| {
        let name = item["describedObject"]["name"].as_str().unwrap_or_default().to_owned();
        Ok((name, Sample { milli: quantity(&item["value"])?, at: time(item), window: window(item) }))
    };
    items.iter().map(sample).collect()
}

/// A custom metric of one object; `resource` is `plural.group`.
pub(super) async fn of_object(
    client: &Client,
    namespace: &str,
    resource: &str,
    name: &str,
    metric: &str,
    metric_selector: Option<&LabelSelector>,
) -> Result<i64, Error> {
    let base = "/apis/custom.metrics.k8s.io/v1beta2";
    let mut path = match resource {
        "namespaces" => format!("{base}/namespaces/{name}/metrics/{metric}"),
        _ => format!("{base}/namespaces/{namespace}/{resource}/{name}/{metric}"),
    };
    if let Some(text) = selector_text(metric_selector) {
        path.push_str(&format!("?metricLabelSelector={}", escaped(&text)));
    }
    let list = get(client, &path).await.map_err(|source| Error::Custom { source })?;
    let first =
        list["items"].as_array().and_then(|items| items.first()).ok_or(Error::Empty { api: "custom" })?;
    quantity(&first["value"])
}

/// The sum of an external metric's series.
pub(super) async fn of_external(
    client: &Client,
    namespace: &str,
    metric: &str,
    metric_selector: Option<&LabelSelector>,
) -> Result<i64, Error> {
    let text = selector_text(metric_selector).unwrap_or_default();
    let base = format!("/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{metric}");
    let path = format!("{base}?labelSelector={}", escaped(&text));
    let list = get(client, &path).await.map_err(|source| Error::External { source })?;
    let items = list["items"].as_array().map_or(&[][..], Vec::as_slice);
    if items.is_empty() {
        return Err(Error::Empty { api: "external" });
    }
    items.iter().map(|item| quantity(&item["value"])).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn samples_are_sums_of_containers() {
        let item = json!({"metadata": {"name": "p"}, "timestamp": "2026-01-01T00:00:00Z", "window": "15s",
            "containers": [{"name": "a", "usage": {"cpu": "100m"}}, {"name": "b", "usage": {"cpu": "1", "memory": "1Ki"}}]});
        let milli = |resource, container| pod_sample(&item, resource, container).map(|s| s.map(|s| s.milli));
        assert_eq!(milli("cpu", None).expect("readable"), Some(1100));
        assert_eq!(milli("memory", None).expect("readable"), None);
        assert_eq!(milli("memory", Some("b")).expect("readable"), Some(1_024_000));
        assert!(matches!(milli("cpu", Some("c")), Err(Error::Container { .. })));
        assert_eq!(window(&item), Duration::from_secs(15));
        assert_eq!(escaped("a in (b,c)"), "a%20in%20%28b%2Cc%29");
    }
}
