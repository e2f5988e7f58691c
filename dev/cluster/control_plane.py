"""Programs of the host that make machines a cluster: etcd, API server, its deciders, DNS, the registry."""

import json
from pathlib import Path

from dev import build, commands, paths
from dev.cluster import layout, pki, probes, processes
from dev.cluster.layout import ADDRESS
from dev.cluster.processes import Component

ETCD_PORT = 2379
ETCD_PEER_PORT = 2380
ETCD_METRICS_PORT = 2381
DNS_READY_PORT = 10054
DNS_METRICS_PORT = 10055

# Every write is logged, without bodies: tests show from it that the operator leaves a quiet cluster alone.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
        {"level": "None"},
    ],
}


def stages() -> tuple[tuple[Component, ...], ...]:
    """The control plane in the order in which it has to become ready."""
    return ((etcd(), registry()), (api_server(),), (controller_manager(), scheduler(), dns()))


def etcd() -> Component:
    """The store of all objects. It does not fsync: a local cluster may be lost with the host's power."""
    client = f"https://{ADDRESS}:{ETCD_PORT}"
    peer = f"http://{ADDRESS}:{ETCD_PEER_PORT}"
    metrics = f"http://{ADDRESS}:{ETCD_METRICS_PORT}"
    return _component(
        build.ETCD,
        "etcd",
        f"--data-dir={paths.run() / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        f"--listen-metrics-urls={metrics}",
        f"--cert-file={pki.certificate('etcd-server')}",
        f"--key-file={pki.key('etcd-server')}",
        f"--trusted-ca-file={pki.certificate('etcd-ca')}",
        "--client-cert-auth",
        "--unsafe-no-fsync",
        "--auto-compaction-mode=periodic",
        "--auto-compaction-retention=10m",
        "--log-level=warn",
        ready=probes.http(f"{metrics}/health"),
    )


def api_server() -> Component:
    """The API server, with RBAC, Pod Security admission and an audit log of all writes."""
    policy = paths.run() / "audit-policy.json"
    paths.audit_log().parent.mkdir(parents=True, exist_ok=True)
    return _component(
        build.KUBERNETES,
        "kube-apiserver",
        f"--bind-address={ADDRESS}",
        f"--advertise-address={ADDRESS}",
        f"--secure-port={layout.API_PORT}",
        f"--etcd-servers=https://{ADDRESS}:{ETCD_PORT}",
        f"--etcd-cafile={pki.certificate('etcd-ca')}",
        f"--etcd-certfile={pki.certificate('etcd-client')}",
        f"--etcd-keyfile={pki.key('etcd-client')}",
        f"--tls-cert-file={pki.certificate('apiserver')}",
        f"--tls-private-key-file={pki.key('apiserver')}",
        f"--client-ca-file={pki.certificate('ca')}",
        f"--kubelet-client-certificate={pki.certificate('apiserver-kubelet')}",
        f"--kubelet-client-key={pki.key('apiserver-kubelet')}",
        f"--kubelet-certificate-authority={pki.certificate('ca')}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-issuer=https://kubernetes.default.svc.{layout.DOMAIN}",
        f"--service-account-key-file={pki.folder() / 'service-accounts.pub'}",
        f"--service-account-signing-key-file={pki.key('service-accounts')}",
        f"--service-cluster-ip-range={layout.SERVICE_RANGE}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--requestheader-client-ca-file={pki.certificate('front-proxy-ca')}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={pki.certificate('front-proxy')}",
        f"--proxy-client-key-file={pki.key('front-proxy')}",
        "--allow-privileged=true",
        f"--audit-policy-file={policy}",
        f"--audit-log-path={paths.audit_log()}",
        "--audit-log-maxsize=50",
        "--audit-log-maxbackup=2",
        "--profiling=false",
        ready=probes.http(f"{layout.API_URL}/readyz", pki.certificate("ca")),
        files={policy: json.dumps(AUDIT_POLICY, indent=2)},
    )


def controller_manager() -> Component:
    """Runs the controllers of the built-in kinds. With stock client limits the first pod comes 3 s later."""
    return _component(
        build.KUBERNETES,
        "kube-controller-manager",
        f"--kubeconfig={pki.kubeconfig('controller-manager')}",
        *_secure_server(),
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={pki.key('service-accounts')}",
        f"--root-ca-file={pki.certificate('ca')}",
        f"--cluster-signing-cert-file={pki.certificate('ca')}",
        f"--cluster-signing-key-file={pki.key('ca')}",
        "--kube-api-qps=300",
        "--kube-api-burst=500",
        "--allocate-node-cidrs=false",
        f"--cluster-cidr={layout.POD_RANGE}",
        f"--service-cluster-ip-range={layout.SERVICE_RANGE}",
        "--node-monitor-grace-period=40s",
        "--profiling=false",
        ready=probes.http(f"https://{ADDRESS}:10257/healthz", pki.certificate("ca")),
    )


def scheduler() -> Component:
    """Gives pods their machines."""
    return _component(
        build.KUBERNETES,
        "kube-scheduler",
        f"--kubeconfig={pki.kubeconfig('scheduler')}",
        *_secure_server(),
        "--leader-elect=false",
        "--profiling=false",
        ready=probes.http(f"https://{ADDRESS}:10259/healthz", pki.certificate("ca")),
    )


def dns() -> Component:
    """Names of Services. A program of the host, not a pod: it needs no image and comes before the first pod.

    Pods cannot leave the cluster, so any other name does not exist.
    """
    corefile = paths.run() / "Corefile"
    text = f"""\
{layout.DOMAIN}:{layout.DNS_PORT} in-addr.arpa:{layout.DNS_PORT} {{
    bind {ADDRESS}
    errors
    ready {ADDRESS}:{DNS_READY_PORT}
    prometheus {ADDRESS}:{DNS_METRICS_PORT}
    kubernetes {layout.DOMAIN} in-addr.arpa {{
        kubeconfig {pki.kubeconfig("coredns")}
        ttl 5
    }}
}}

.:{layout.DNS_PORT} {{
    bind {ADDRESS}
    errors
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""
    ready = probes.http(f"http://{ADDRESS}:{DNS_READY_PORT}/ready")
    return _component(build.COREDNS, "coredns", f"-conf={corefile}", ready=ready, files={corefile: text})


def registry() -> Component:
    """Serves the images built here to all machines; its blobs outlive the cluster."""
    config = _registry_settings()
    settings = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(paths.registry())}, "delete": {"enabled": True}},
        "http": {"addr": layout.REGISTRY},
    }
    return Component(
        name="registry",
        folder=paths.run(),
        command=("docker-registry", "serve", str(config)),
        ready=probes.http(f"http://{layout.REGISTRY}/v2/"),
        files={config: json.dumps(settings, indent=2)},
    )


def sweep_registry() -> None:
    """Removes what no tag holds any more. Nobody may push meanwhile."""
    commands.run(["docker-registry", "garbage-collect", "--delete-untagged", _registry_settings()])


def is_there() -> bool:
    """Whether any of it runs."""
    return paths.kubeconfig().exists() and any(
        processes.is_running(part) for stage in stages() for part in stage
    )


def _registry_settings() -> Path:
    return paths.run() / "registry.json"


def _secure_server() -> tuple[str, ...]:
    certificate = f"{layout.HOST.name}-server"
    return (
        f"--bind-address={ADDRESS}",
        f"--tls-cert-file={pki.certificate(certificate)}",
        f"--tls-private-key-file={pki.key(certificate)}",
    )


def _component(
    part: build.Part, name: str, *flags: str, ready: probes.Probe, files: dict[Path, str] | None = None
) -> Component:
    command = (str(build.program(part, name)), *flags)
    return Component(name=name, folder=paths.run(), command=command, ready=ready, files=files or {})
