//! Flags that all commands have, and sets that many share.

use super::Flag;

/// Flags of every command.
pub const GLOBAL: &[Flag] = &[
    Flag::text("as", "User to impersonate: an ordinary user or a service account."),
    Flag::each("as-group", "Group to impersonate; may be given several times."),
    Flag::text("as-uid", "UID to impersonate."),
    Flag::each("as-user-extra", "Extra field (key=value) to impersonate; may be given several times."),
    Flag::text("cache-dir", "Folder for what was discovered about servers; $HOME/.kube/cache if empty."),
    Flag::text(
        "certificate-authority",
        "File with the authority that the server's certificate is verified with.",
    ),
    Flag::text("client-certificate", "File with the client certificate."),
    Flag::text("client-key", "File with the key of the client certificate."),
    Flag::text("cluster", "Cluster of the kubeconfig to use."),
    Flag::text("context", "Context of the kubeconfig to use."),
    Flag::switch("disable-compression", "Ask for uncompressed answers."),
    Flag::switch(
        "insecure-skip-tls-verify",
        "Do not verify the server's certificate. This makes the connection insecure.",
    ),
    Flag::text("kubeconfig", "Kubeconfig file to use."),
    Flag::text("kuberc", "File with preferences; read by upstream's kubectl only."),
    Flag::duration("log-flush-frequency", "5s", "Taken for compatibility; logs are never held back."),
    Flag::switch("match-server-version", "Refuse a server of another version."),
    Flag::text("namespace", "Namespace of this call.").short('n'),
    Flag::text("password", "Password for basic authentication."),
    Flag::text("profile", "Kind of profile to capture; only none is taken.").default("none"),
    Flag::text("profile-output", "File that the profile goes to.").default("profile.pprof"),
    Flag::text("request-timeout", "Longest time for one request, with its unit (1s, 2m, 3h); 0 is no limit.")
        .default("0"),
    Flag::text("server", "Address of the API server.").short('s'),
    Flag::text("tls-server-name", "Name that the server's certificate has to have; the host's if empty."),
    Flag::text("token", "Bearer token."),
    Flag::text("user", "User of the kubeconfig to use."),
    Flag::text("username", "Name for basic authentication."),
    Flag::int("v", "0", "How much is logged.").short('v'),
    Flag::text("vmodule", "Taken for compatibility."),
    Flag::switch("warnings-as-errors", "End with an error when the server warns."),
];

const TEMPLATE_KEYS: Flag = Flag::switch(
    "allow-missing-template-keys",
    "Ignore fields that a go-template or jsonpath names and the object lacks.",
)
.default("true");
pub const MANAGED: Flag = Flag::switch("show-managed-fields", "Keep managedFields in JSON and YAML.");
const TEMPLATE: Flag =
    Flag::text("template", "Template, or the file with it, for -o=go-template and -o=go-template-file.");

/// What is printed, for all but tables.
pub const PRINT: &[Flag] = &[
    Flag::text(
        "output",
        "Format: json, yaml, kyaml, name, go-template, go-template-file, template, templatefile, jsonpath, jsonpath-as-json, jsonpath-file.",
    )
    .short('o'),
    TEMPLATE_KEYS,
    MANAGED,
    TEMPLATE,
];

/// What belongs to an --output of a command's own.
pub const PRINT_REST: &[Flag] = &[TEMPLATE_KEYS, MANAGED, TEMPLATE];

/// The same where tables are printed too.
pub const PRINT_TABLE: &[Flag] = &[
    Flag::text(
        "output",
        "Format: json, yaml, kyaml, name, go-template, go-template-file, template, templatefile, jsonpath, jsonpath-as-json, jsonpath-file, custom-columns, custom-columns-file, wide.",
    )
    .short('o'),
    TEMPLATE_KEYS,
    MANAGED,
    TEMPLATE,
];

pub const RECURSIVE: Flag =
    Flag::switch("recursive", "Read the folders of -f with all that is below them.").short('R');
pub const KUSTOMIZE: Flag = Flag::text("kustomize", "Folder with a kustomization; not built yet.").short('k');

/// Objects from files.
pub const FILES: &[Flag] = &[
    Flag::list("filename", "File, folder or URL with the objects; - is standard input.").short('f'),
    RECURSIVE,
    KUSTOMIZE,
];

pub const SELECTOR: &[Flag] = &[Flag::text(
    "selector",
    "Labels that objects must have: =, ==, !=, in, notin (-l key1=value1,key2 in (a,b)).",
)
.short('l')];

pub const FIELD_SELECTOR: &[Flag] = &[Flag::text(
    "field-selector",
    "Fields that objects must have: =, ==, != (--field-selector key1=value1,key2!=value2).",
)];

pub const ALL_NAMESPACES: &[Flag] =
    &[Flag::switch("all-namespaces", "Objects of every namespace, whatever --namespace says.").short('A')];

pub const ALL: &[Flag] = &[Flag::switch("all", "All objects of the given types in the namespace.")];

pub const DRY_RUN: &[Flag] = &[Flag::text(
    "dry-run",
    "none, server or client: client only prints what would be sent, server sends it and keeps nothing.",
)
.default("none")
.bare("unchanged")];

pub const VALIDATE: &[Flag] = &[Flag::text(
    "validate",
    "strict (true), warn or ignore (false): whether the server refuses, mentions or drops unknown and duplicate fields.",
)
.default("strict")
.bare("strict")];

pub const SAVE_CONFIG: &[Flag] =
    &[Flag::switch("save-config", "Note the configuration in the object's annotation, for a later apply.")];

pub const CHUNK: &[Flag] =
    &[Flag::int("chunk-size", "500", "Objects per request of a long list; 0 asks for all at once.")];

pub const LOCAL: &[Flag] = &[Flag::switch("local", "Work on the given file alone and ask no server.")];

pub const RECORD: &[Flag] =
    &[Flag::switch("record", "Note this command in the object's annotation.").hidden()];

/// How objects are deleted.
pub const DELETION: &[Flag] = &[
    Flag::text("cascade", "background, orphan or foreground: what happens to dependents.")
        .default("background")
        .bare("background"),
    Flag::switch("force", "Remove at once and do not wait for a graceful end. Data may be lost."),
    Flag::int(
        "grace-period",
        "-1",
        "Seconds for a graceful end; below 0 the object's own, 0 only with --force.",
    ),
    Flag::duration("timeout", "0s", "Longest wait for a deletion; 0 takes it from the object."),
];

/// Who a change is attributed to.
macro_rules! manager {
    ($name:literal) => {
        &[$crate::cli::Flag::text("field-manager", "Name that owns the changed fields.").default($name)]
    };
}
pub(crate) use manager;
