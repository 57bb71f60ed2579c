//! What a name below the cluster's domain asks for. Pure.
//!
//! Upstream: CoreDNS, plugin/kubernetes/parse.go.

/// The meaning of a name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked<'a> {
    Apex,
    /// `dns-version`: the version of the specification.
    Version,
    /// `ns.dns`: the zone's name server.
    NameServer,
    /// `svc`, `pod` or `dns`: there only because something is below.
    Between,
    /// `NAMESPACE.svc` or `NAMESPACE.pod`.
    Namespace(&'a str),
    Pod {
        namespace: &'a str,
        pod: &'a str,
    },
    Service {
        namespace: &'a str,
        service: &'a str,
        part: Part<'a>,
    },
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    Whole,
    /// One endpoint, by host name or dashed address.
    Endpoint(&'a str),
    /// `_PORT._PROTOCOL`.
    Port {
        port: &'a str,
        protocol: &'a str,
    },
}

/// Reads `name`, which is what stands before the cluster's domain.
pub(crate) fn asked(name: &str) -> Asked<'_> {
    let mut labels: Vec<&str> = name.split('.').filter(|label| !label.is_empty()).collect();
    let kind = labels.pop();
    labels.reverse();
    match (kind, labels.as_slice()) {
        (None, _) => Asked::Apex,
        (Some("dns-version"), []) => Asked::Version,
        (Some("dns"), ["ns"]) => Asked::NameServer,
        (Some("svc" | "pod" | "dns"), []) => Asked::Between,
        (Some("svc" | "pod"), [namespace]) => Asked::Namespace(namespace),
        (Some("pod"), [namespace, pod]) => Asked::Pod { namespace, pod },
        (Some("svc"), [namespace, service, below @ ..]) => {
            part(below).map_or(Asked::Nothing, |part| Asked::Service { namespace, service, part })
        }
        _ => Asked::Nothing,
    }
}

fn part<'a>(below: &[&'a str]) -> Option<Part<'a>> {
    match below {
        [] => Some(Part::Whole),
        [endpoint] => Some(Part::Endpoint(endpoint)),
        [protocol, port] => Some(Part::Port { port: plain(port), protocol: plain(protocol) }),
        _ => None,
    }
}

fn plain(label: &str) -> &str {
    label.strip_prefix('_').unwrap_or(label)
}

/// The address that a reverse name stands for: `4.3.2.1.in-addr.arpa`.
pub(crate) fn reverse(name: &str) -> Option<std::net::IpAddr> {
    if let Some(octets) = name.strip_suffix(".in-addr.arpa") {
        let octets: Vec<&str> = octets.rsplit('.').collect();
        return octets.join(".").parse::<std::net::Ipv4Addr>().ok().map(Into::into);
    }
    let digits: Vec<&str> = name.strip_suffix(".ip6.arpa")?.rsplit('.').collect();
    if digits.len() != 32 || digits.iter().any(|digit| digit.len() != 1) {
        return None;
    }
    let groups: Vec<String> = digits.chunks(4).map(|group| group.concat()).collect();
    groups.join(":").parse::<std::net::Ipv6Addr>().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_the_right() {
        let service = |part| Asked::Service { namespace: "n", service: "s", part };
        for (name, meaning) in [
            ("", Asked::Apex),
            ("svc", Asked::Between),
            ("n.svc", Asked::Namespace("n")),
            ("s.n.svc", service(Part::Whole)),
            ("e.s.n.svc", service(Part::Endpoint("e"))),
            ("_http._tcp.s.n.svc", service(Part::Port { port: "http", protocol: "tcp" })),
            ("x._http._tcp.s.n.svc", Asked::Nothing),
            ("1-2-3-4.n.pod", Asked::Pod { namespace: "n", pod: "1-2-3-4" }),
            ("x.1-2-3-4.n.pod", Asked::Nothing),
            ("dns-version", Asked::Version),
            ("ns.dns", Asked::NameServer),
            ("elsewhere", Asked::Nothing),
        ] {
            assert_eq!(asked(name), meaning, "{name}");
        }
    }

    #[test]
    fn reverse_names_are_addresses() {
        let read = |name: &str| reverse(name).map(|address| address.to_string());
        assert_eq!(read("4.3.2.1.in-addr.arpa").as_deref(), Some("1.2.3.4"));
        let v6 = format!("1.{}8.b.d.0.1.0.0.2.ip6.arpa", "0.".repeat(23));
        assert_eq!(read(&v6).as_deref(), Some("2001:db8::1"));
        assert_eq!((read("3.2.1.in-addr.arpa"), read("x.ip6.arpa"), read("a.b")), (None, None, None));
    }
}
