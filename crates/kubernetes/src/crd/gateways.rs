//! `gateways.vamp.io`: what a user declares in `spec`, what is live in `status`.
//!
//! The schema takes every form of a gateway document that the API takes; where a field has several, its content is checked by
//! Vamp, which answers with the condition `Accepted`. Maps lose their order in a cluster, which is why a list is one of the forms
//! of `routes`.

use serde_json::{Value, json};

use super::schema::{
    boolean, free_form, integer, list, list_by, number_or_text, object, required, rule, rule_with,
    several_forms, short_text, text,
};
use super::{GROUP, VERSION};

/// The definition of `gateways.vamp.io`.
pub fn gateways() -> Value {
    let version = json!({
        "name": VERSION,
        "served": true,
        "storage": true,
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns(),
        "schema": {"openAPIV3Schema": schema()},
    });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("gateways.{GROUP}"), "labels": {"app.kubernetes.io/name": "vamp"}},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": "Gateway",
                "listKind": "GatewayList",
                "plural": "gateways",
                "singular": "gateway",
                "shortNames": ["vgw"],
                "categories": ["vamp"],
            },
            "versions": [version],
        },
    })
}

fn columns() -> Value {
    let column = |name: &str, kind: &str, path: &str, priority: i64, description: &str| json!({"name": name, "type": kind, "jsonPath": path, "priority": priority, "description": description});
    json!([
        column(
            "Ready",
            "string",
            ".status.conditions[?(@.type==\"Programmed\")].status",
            0,
            "True when every proxy serves what is declared."
        ),
        column("Routes", "integer", ".status.summary.routes", 0, "Number of routes."),
        column("Weights", "string", ".status.summary.weights", 0, "Routes with their shares of the traffic."),
        column("Hosts", "string", ".status.summary.hosts", 1, "Virtual hosts."),
        column("Port", "string", ".status.port", 0, "Port that proxies listen on."),
        column("Address", "string", ".status.addresses[0].value", 1, "Where clients reach it."),
        column(
            "Reason",
            "string",
            ".status.conditions[?(@.type==\"Accepted\")].reason",
            1,
            "Why it is refused, if it is."
        ),
        column("Age", "date", ".metadata.creationTimestamp", 0, "Time since it was created."),
    ])
}

fn schema() -> Value {
    let fields = [
        ("apiVersion", text("Version of the schema of this object: vamp.io/v1.")),
        ("kind", text("Kind of this object: Gateway.")),
        ("metadata", json!({"type": "object"})),
        ("spec", spec()),
        ("status", status()),
    ];
    required(
        object(
            "A gateway of Vamp: a port and virtual hosts, and routes that share the traffic. spec is what you declare, and Vamp \
             never moves it; status is what is live: versions that were found, their weights and conditions now, addresses.",
            fields,
        ),
        &["spec"],
    )
}

const ROUTES: &str = "\
Routes in order: the first one whose condition holds takes the request, else weights decide. With a selector they appear by \
themselves, and are listed here only to set something about them. A change of a weight or condition here is applied once; what \
is live is in status.routes and stays when the same manifest is applied again.

Forms: a map from path to route; a list of such maps or of paths, which keeps its order, while a cluster sorts the keys of maps; \
or one path. A path is a group of the selector such as (1.0.3), an address such as [10.1.0.7:8080], the name of another \
gateway, or with a selector of its own any label. A route is {}, the name of a stored route, or a map of

weight: share of the traffic that no condition took, for example 10% or 0.5%. All together 100%, or 0%. Missing ones share the rest.

condition: which requests it takes first, for example Header Accept Contains v2; or {reference: NAME} for a stored one.

condition_strength: share of the matching requests that it takes; 100% unless given.

balance: how it chooses a target: roundrobin, leastconn, first, source, uri, url_param NAME, hdr(NAME), random.

rewrites: list of {path: NEW if CONDITION}, changes of the path on the way to the target.

selector: its targets, in a gateway without a selector.

metadata: free form.";

fn spec() -> Value {
    let name = short_text(
        "Name of the gateway in Vamp, where it cannot be the name of a Kubernetes object, for example shop/web. Otherwise left \
         out: the gateway has the name of this object. It cannot be changed.",
        256,
    );
    let name = rule_with(
        name,
        "self.matches('^/*[^\\\\s/\\\\[\\\\]]+(/+[^\\\\s/\\\\[\\\\]]+){0,3}/*$')",
        "Unsupported gateway name; use 1 to 4 segments without white space, '[' and ']'",
        "\"Unsupported gateway name: '\" + self + \"'; use 1 to 4 segments without white space, '[' and ']'\"",
    );
    let kind = rule_with(
        short_text("gateways, or left out: what the document is in Vamp's own API.", 64),
        "self in ['gateways', 'gateway']",
        "Inconsistent kind: given 'gateways' but found another.",
        "\"Inconsistent kind: given 'gateways' but found '\" + self + \"'.\"",
    );
    let port = number_or_text(
        "Port that proxies listen on: 9070, 9070/http or 9070/tcp. Without one Vamp assigns a free port, which status.port shows.",
    );
    let port = rule_with(
        port,
        "type(self) == string ? self.lowerAscii().matches('^[ \\t]*0*[0-9]{1,5}[ \\t]*(/(http|tcp)[ \\t]*)?$') : (self >= 0 && self <= 65535)",
        "Invalid gateway port, expected a number from 0 to 65535, optionally followed by '/http' or '/tcp'",
        "\"Invalid gateway port: '\" + string(self) + \"', expected a number from 0 to 65535, optionally followed by '/http' or '/tcp'\"",
    );
    let selector = rule(
        short_text(
            "Finds instances by their labels and makes a route for each group of them, for example label(app)(shop) && \
             label(version)((.*)): one route for each version. Operands: label(KEY)(VALUE), namespace(X), name(X), image(X), \
             kind(X), ip(X), port(N), index(N); combined with &&, || and !. A capture in double parentheses makes groups.",
            4096,
        ),
        "self.trim() != ''",
        "Invalid selector: ''.",
    );
    let sticky = rule_with(
        short_text(
            "route: clients stay on their version. instance: also on their instance. none, or left out: neither.",
            16,
        ),
        "self.lowerAscii() in ['route', 'instance', 'none']",
        "Illegal routing sticky value, use 'route', 'instance' or 'none'",
        "\"Illegal routing sticky value: '\" + self + \"', use 'route', 'instance' or 'none'\"",
    );
    let target_protocol = rule_with(
        short_text(
            "What the targets speak: http1, or http2 without TLS (h2c), which gRPC needs. Left out: what their ports say by \
             appProtocol or name (grpc, h2c, http2, alone or before a hyphen), else http1.",
            16,
        ),
        "self.lowerAscii() in ['http1', 'http2']",
        "Illegal target protocol, use 'http1' or 'http2'",
        "\"Illegal target protocol: '\" + self + \"', use 'http1' or 'http2'\"",
    );
    let service = required(
        object(
            "Where clients reach the gateway, when something else than Vamp gives it an address. Kept as it was when the gateway was \
             created.",
            [
                ("host", short_text("Host name or address.", 253)),
                ("port", number_or_text("Port, in the forms of spec.port.")),
            ],
        ),
        &["host", "port"],
    );
    let ignored =
        |what: &str| several_forms(&format!("Ignored: {what}, which Vamp's API shows and takes back."));
    let spec = object(
        "What is declared: a gateway document as in Vamp's API. Vamp changes it only when a field of it is changed through its API or \
         user interface.",
        [
            ("name", name),
            ("kind", kind),
            ("port", port),
            ("selector", selector),
            ("routes", several_forms(ROUTES)),
            ("sticky", sticky),
            ("target_protocol", target_protocol),
            (
                "virtual_hosts",
                several_forms(
                    "Host names under which the gateway is reached on the shared listener: one, or a list. NAME.vamp is always one of \
                     them, as status.hosts shows.",
                ),
            ),
            ("tls", tls()),
            ("target_tls", target_tls()),
            ("target_care", super::care::target_care()),
            (
                "proxy_protocol",
                boolean(
                    "Whether connections to the gateway's port begin with a header of the PROXY protocol, from a load balancer that says who the client is.",
                ),
            ),
            ("metadata", free_form("Free form, kept and returned as it is.")),
            ("service", service),
            ("lookup_name", ignored("the id of the gateway")),
            ("internal", ignored("whether the gateway belongs to a deployment")),
            ("deployed", ignored("whether proxies serve it")),
        ],
    );
    let spec = rule(
        spec,
        "!has(self.sticky) || self.sticky.lowerAscii() == 'none' || !has(self.port) || type(self.port) != string || \
         !self.port.lowerAscii().endsWith('/tcp')",
        "Sticky sessions are not allowed for TCP port, remove 'sticky' or use an http port.",
    );
    let spec = super::care::not_for_tcp(spec);
    rule(
        spec,
        "has(self.name) == has(oldSelf.name) && (!has(self.name) || self.name == oldSelf.name)",
        "Inconsistent name: the name of a gateway cannot be changed, create another one.",
    )
}

fn target_tls() -> Value {
    let object_name = |description: &str, kind: &str| {
        let message = format!("no name of a {kind}, use lower case letters, digits, '-' and '.'");
        rule(
            short_text(description, 253),
            "self.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$')",
            &message,
        )
    };
    let tls = object(
        "Targets are reached with TLS, all of them. An empty map is enough. Of ca_file, ca_secret and ca_config_map one may say whom to \
         trust; those whom the system trusts without.",
        [
            (
                "ca_file",
                text(
                    "File with the certificates of the authorities that targets are checked against, PEM, in the container of the proxy.",
                ),
            ),
            (
                "ca_secret",
                object_name(
                    "Name of a Secret in this namespace with those certificates as ca.crt. Proxies need the right to get and watch it.",
                    "Secret",
                ),
            ),
            (
                "ca_config_map",
                object_name(
                    "Name of a ConfigMap in this namespace with those certificates as ca.crt. Proxies need the right to get and watch it.",
                    "ConfigMap",
                ),
            ),
            (
                "server_name",
                text("The name that certificates of targets must be for. That of the address without."),
            ),
            ("insecure_skip_verification", boolean("Takes every certificate.")),
        ],
    );
    let tls = rule(
        tls,
        "(has(self.ca_file) ? 1 : 0) + (has(self.ca_secret) ? 1 : 0) + (has(self.ca_config_map) ? 1 : 0) < 2",
        "both say whom to trust, remove one",
    );
    rule(
        tls,
        "!has(self.insecure_skip_verification) || !self.insecure_skip_verification || !(has(self.ca_file) || \
         has(self.ca_secret) || has(self.ca_config_map))",
        "says what to verify and 'insecure_skip_verification' not to, remove one",
    )
}

/// Vamp checks what it says; the schema tells which fields there are.
fn tls() -> Value {
    let certificate = || {
        text(
            "Path of the certificate, PEM, on the machine or in the container of the proxy, followed by those between it and the authority.",
        )
    };
    let key = || text("Path of the private key, PEM.");
    let secret = || {
        text("Name of a Secret of type kubernetes.io/tls in this namespace, in place of certificate and key.")
    };
    object(
        "Certificates that clients see. The gateway's own port then expects TLS, and its virtual hosts are reached on the shared \
         listener for TLS too. Private keys are read by the proxies only.",
        [
            ("certificate", certificate()),
            ("key", key()),
            ("secret", secret()),
            (
                "certificates",
                list(
                    "Several certificates: the name that a client asks for chooses; the first is for all other names.",
                    object(
                        "A certificate, in files or in a Secret.",
                        [("certificate", certificate()), ("key", key()), ("secret", secret())],
                    ),
                ),
            ),
            ("minimum_version", several_forms("1.2, which it is unless given, or 1.3.")),
            (
                "redirect",
                boolean(
                    "Whether requests without TLS to the virtual hosts are answered with a redirect (308) to https.",
                ),
            ),
        ],
    )
}

fn status() -> Value {
    let route = required(
        object(
            "A route as it is now.",
            [
                ("name", text("Path of the route, for example (1.0.3).")),
                ("weight", text("Its share of the traffic that no condition takes.")),
                (
                    "effectiveWeight",
                    text("The share in force, where routes are absent and others take their part."),
                ),
                ("condition", text("Which requests it takes before weights are looked at.")),
                ("strength", text("Share of the matching requests that it takes.")),
                (
                    "targets",
                    object(
                        "The instances behind it.",
                        [
                            ("ready", integer("How many may get traffic.")),
                            ("total", integer("How many there are.")),
                        ],
                    ),
                ),
                (
                    "absent",
                    boolean("True while its instances are gone and its settings are kept for their return."),
                ),
            ],
        ),
        &["name", "weight"],
    );
    let condition = required(
        object(
            "One aspect of the state.",
            [
                (
                    "type",
                    text(
                        "Accepted: Vamp took the declared document in. Programmed: every proxy serves it. ResolvedRefs: what it names \
                         exists.",
                    ),
                ),
                (
                    "status",
                    json!({"type": "string", "enum": ["True", "False", "Unknown"], "description": "Whether it holds."}),
                ),
                ("observedGeneration", integer("The metadata.generation that this is about.")),
                (
                    "lastTransitionTime",
                    json!({"type": "string", "format": "date-time", "description": "When status last changed."}),
                ),
                ("reason", text("Why, in one word.")),
                ("message", text("Why, in words for people.")),
            ],
        ),
        &["type", "status", "lastTransitionTime", "reason", "message"],
    );
    let address = object(
        "An address for clients.",
        [
            ("type", text("IPAddress or Hostname.")),
            ("value", text("The address.")),
            ("port", integer("Port to use there.")),
            ("for", text("gateway: the gateway's own Service. hosts: the shared Service of virtual hosts.")),
        ],
    );
    object(
        "What is live. Written by Vamp alone.",
        [
            ("observedGeneration", integer("The metadata.generation that Vamp last looked at.")),
            ("revision", integer("Revision of the environment that holds the document in force.")),
            ("port", text("Port in force, as given or assigned.")),
            ("hosts", list("Virtual hosts in force.", text("A host name."))),
            ("addresses", list("Where clients reach the gateway.", address)),
            ("stickyGeneration", integer("Rises with every eviction of sticky clients.")),
            ("routes", list_by("name", "Routes in order.", route)),
            (
                "summary",
                object(
                    "The columns of kubectl get.",
                    [
                        ("routes", integer("Number of routes.")),
                        ("weights", text("Routes with their weights.")),
                        ("hosts", text("Virtual hosts.")),
                    ],
                ),
            ),
            ("warnings", list("What deserves attention.", text("What, and what to do."))),
            ("conditions", list_by("type", "The state in the common form of Kubernetes.", condition)),
        ],
    )
}
