//! The rules that are a yes or no per resource, each as the list of its exceptions.

/// Group and resource.
type Names = [(&'static str, &'static str)];

/// Rules of one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    /// PUT may do without a resourceVersion.
    pub unconditional_update: bool,
    /// PUT creates what does not exist.
    pub create_on_update: bool,
    /// metadata.generation counts changes of the spec.
    pub generation: Generation,
    /// The client's status survives a create.
    pub status_on_create: bool,
    /// Its writes need no fsync of their own.
    pub relaxed: bool,
    /// It is deleted some time after its last change.
    pub expires: bool,
}

/// What raises `metadata.generation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// Nothing: there is none.
    None,
    /// A change of spec.
    Spec,
    /// A change of anything but metadata and status.
    Content,
    /// A change of anything but metadata.
    Everything,
}

const CONDITIONAL: &Names = &[
    ("coordination.k8s.io", "leases"),
    ("coordination.k8s.io", "leasecandidates"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("apiregistration.k8s.io", "apiservices"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"),
    ("networking.k8s.io", "ipaddresses"),
    ("networking.k8s.io", "servicecidrs"),
    ("node.k8s.io", "runtimeclasses"),
    ("policy", "poddisruptionbudgets"),
    ("storage.k8s.io", "csidrivers"),
    ("storage.k8s.io", "csinodes"),
    ("storage.k8s.io", "csistoragecapacities"),
    ("storage.k8s.io", "volumeattachments"),
];

const CREATE_ON_UPDATE: &Names = &[
    ("", "endpoints"),
    ("", "events"),
    ("events.k8s.io", "events"),
    ("", "limitranges"),
    ("", "services"),
    ("coordination.k8s.io", "leases"),
    ("rbac.authorization.k8s.io", "roles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
];

const SPEC_GENERATION: &Names = &[
    ("", "pods"),
    ("", "replicationcontrollers"),
    ("apps", "daemonsets"),
    ("apps", "deployments"),
    ("apps", "replicasets"),
    ("apps", "statefulsets"),
    ("batch", "cronjobs"),
    ("batch", "jobs"),
    ("policy", "poddisruptionbudgets"),
    ("networking.k8s.io", "ingresses"),
    ("networking.k8s.io", "ingressclasses"),
    ("networking.k8s.io", "networkpolicies"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("flowcontrol.apiserver.k8s.io", "flowschemas"),
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"),
    ("resource.k8s.io", "resourceslices"),
    ("resource.k8s.io", "deviceclasses"),
    ("storage.k8s.io", "csidrivers"),
];

const CONTENT_GENERATION: &Names = &[
    ("discovery.k8s.io", "endpointslices"),
    ("scheduling.k8s.io", "priorityclasses"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
];

const STATUS_ON_CREATE: &Names = &[("", "nodes"), ("", "componentstatuses")];
const EVENTS: &Names = &[("", "events"), ("events.k8s.io", "events")];
const LEASES: &Names = &[("coordination.k8s.io", "leases")];

impl Traits {
    pub fn of(group: &str, resource: &str) -> Self {
        let among = |names: &Names| names.contains(&(group, resource));
        let generation = match (among(SPEC_GENERATION), among(CONTENT_GENERATION)) {
            (true, _) => Generation::Spec,
            (_, true) => Generation::Content,
            _ => Generation::None,
        };
        Self {
            unconditional_update: !among(CONDITIONAL),
            create_on_update: among(CREATE_ON_UPDATE),
            generation,
            status_on_create: among(STATUS_ON_CREATE),
            relaxed: among(EVENTS) || among(LEASES),
            expires: among(EVENTS),
        }
    }
}
