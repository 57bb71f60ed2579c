//! What the built-in signers demand of a request. Pure.
//!
//! Upstream: pkg/apis/certificates/helpers.go, pkg/controller/certificates/signer.

use std::collections::BTreeSet;

use pki::CertificateRequest;

pub(super) const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
pub(super) const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
pub(super) const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
pub(super) const LEGACY: &str = "kubernetes.io/legacy-unknown";

/// Why a signer refuses a request, in upstream's words.
pub(super) fn refusal(signer: &str, request: &CertificateRequest, usages: &[String]) -> Option<String> {
    match signer {
        CLIENT => client(usages),
        KUBELET_CLIENT => kubelet_client(request, usages),
        KUBELET_SERVING => kubelet_serving(request, usages),
        _ => None,
    }
}

pub(super) fn is_ours(signer: &str) -> bool {
    [CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY].contains(&signer)
}

fn client(usages: &[String]) -> Option<String> {
    let allowed = ["client auth", "digital signature", "key encipherment"];
    let fits = usages.iter().all(|usage| allowed.contains(&usage.as_str()));
    let asks = usages.iter().any(|usage| usage == "client auth");
    (!(fits && asks)).then(|| format!("invalid usages for client certificate: {usages:?}"))
}

pub(super) fn kubelet_client(request: &CertificateRequest, usages: &[String]) -> Option<String> {
    let names = request.names;
    let refused = [
        (request.organizations != ["system:nodes"], "subject organization is not system:nodes"),
        (names.dns > 0, "DNS subjectAltNames are not allowed"),
        (names.emails > 0, "Email subjectAltNames are not allowed"),
        (names.addresses > 0, "IP subjectAltNames are not allowed"),
        (names.uris > 0, "URI subjectAltNames are not allowed"),
        (!is_node(request), "subject common name does not begin with system:node: "),
    ];
    first(&refused).or_else(|| wrong_usages(usages, "client auth"))
}

fn kubelet_serving(request: &CertificateRequest, usages: &[String]) -> Option<String> {
    let names = request.names;
    let refused = [
        (request.organizations != ["system:nodes"], "subject organization is not system:nodes"),
        (names.dns + names.addresses == 0, "DNS or IP subjectAltName is required"),
        (names.emails > 0, "Email subjectAltNames are not allowed"),
        (names.uris > 0, "URI subjectAltNames are not allowed"),
        (!is_node(request), "subject common name does not begin with system:node: "),
    ];
    first(&refused).or_else(|| wrong_usages(usages, "server auth"))
}

fn first(refused: &[(bool, &str)]) -> Option<String> {
    refused.iter().find(|(holds, _)| *holds).map(|(_, why)| (*why).to_owned())
}

fn is_node(request: &CertificateRequest) -> bool {
    request.common_name.starts_with("system:node:")
}

/// A kubelet asks for exactly three usages, or two with keys other than RSA.
fn wrong_usages(usages: &[String], auth: &str) -> Option<String> {
    let asked: BTreeSet<&str> = usages.iter().map(String::as_str).collect();
    let two = BTreeSet::from(["digital signature", auth]);
    let mut three = two.clone();
    three.insert("key encipherment");
    let words: Vec<_> = three.iter().copied().collect();
    (asked != two && asked != three).then(|| format!("usages did not match [{}]", words.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usages(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn usages_are_checked() {
        let exact = usages(&["client auth", "digital signature"]);
        assert_eq!(wrong_usages(&exact, "client auth"), None);
        let told = "usages did not match [digital signature key encipherment server auth]";
        assert_eq!(wrong_usages(&exact, "server auth").as_deref(), Some(told));
        assert_eq!(client(&exact), None);
        assert!(client(&usages(&["digital signature"])).is_some());
        assert!(client(&usages(&["client auth", "server auth"])).is_some());
    }
}
