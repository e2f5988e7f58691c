"""The three programs that make a machine of the cluster: containerd, kubelet, kube-proxy."""

import json
from pathlib import Path

from dev import build, paths
from dev.cluster import layout, pki, probes
from dev.cluster.layout import Machine
from dev.cluster.processes import Component

CNI_PLUGINS = Path("/usr/lib/cni")
PAUSE_IMAGE = f"{layout.REGISTRY}/kvring/pause:1"
KUBELET_PORT = 10250
KUBELET_HEALTH_PORT = 10248
PROXY_HEALTH_PORT = 10256
PROXY_METRICS_PORT = 10249


def parts(machine: Machine) -> tuple[Component, ...]:
    """All three, in the order in which they have to become ready."""
    return (containerd(machine), kubelet(machine), kube_proxy(machine))


def network_name(machine: Machine) -> str:
    """Name of the machine's pod network, part of the names of the files that CNI plugins leave."""
    return f"kvring-{machine.name}"


def containerd(machine: Machine) -> Component:
    """Runs containers; pulls from the local registry over plain HTTP; keeps only an image's unpacked half."""
    folder = machine.folder / "containerd"
    hosts = folder / "hosts" / layout.REGISTRY / "hosts.toml"
    pods = folder / "cni" / "10-pods.conflist"
    config = folder / "config.toml"
    text = f"""\
version = 2
root = "{paths.pulled(machine.name)}"
state = "{folder / "state"}"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
  address = "{machine.containerd_socket}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  stream_server_address = "{machine.address}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{pods.parent}"

  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{hosts.parent.parent}"

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    discard_unpacked_layers = true

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"""
    url = f"http://{layout.REGISTRY}"
    mirror = f'server = "{url}"\n\n[host."{url}"]\n  capabilities = ["pull", "resolve"]\n'
    return Component(
        name="containerd",
        folder=machine.folder,
        command=("containerd", "--config", str(config)),
        ready=probes.containerd(machine.containerd_socket),
        files={config: text, hosts: mirror, pods: json.dumps(_pod_network(machine), indent=2)},
        enter=machine.enter(),
    )


def kubelet(machine: Machine) -> Component:
    """Keeps the machine's pods as the API server wants them."""
    folder = machine.folder / "kubelet"
    config, resolv = folder / "config.json", folder / "resolv.conf"
    serving = f"{machine.name}-server"
    settings = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": machine.address,
        "port": KUBELET_PORT,
        "healthzBindAddress": machine.address,
        "healthzPort": KUBELET_HEALTH_PORT,
        "readOnlyPort": 0,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki.certificate("ca"))},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pki.certificate(serving)),
        "tlsPrivateKeyFile": str(pki.key(serving)),
        "containerRuntimeEndpoint": f"unix://{machine.containerd_socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{machine.cgroup}",  # of its own: kubelets remove pod cgroups they do not know
        "enforceNodeAllocatable": ["pods"],
        "failSwapOn": False,
        "failCgroupV1": False,
        "oomScoreAdj": 0,  # lowering it is refused where root lacks CAP_SYS_RESOURCE
        "clusterDomain": layout.DOMAIN,
        "clusterDNS": [layout.DNS_SERVICE],
        "resolvConf": str(resolv),
        "podLogsDir": str(machine.folder / "podlogs"),
        "volumePluginDir": str(folder / "plugins"),
        "makeIPTablesUtilChains": False,
        # In bytes: a few percent of a developer's large disk would be room for years.
        "evictionHard": {
            "memory.available": "200Mi",
            "nodefs.available": "500Mi",
            "imagefs.available": "500Mi",
        },
        "imageGCHighThresholdPercent": 100,  # of a disk that holds much else: so by age
        "imageMaximumGCAge": "2h",
        "nodeStatusUpdateFrequency": "5s",
        "syncFrequency": "30s",
        "serializeImagePulls": False,
    }
    return Component(
        name="kubelet",
        folder=machine.folder,
        command=(
            str(build.program(build.KUBERNETES, "kubelet")),
            f"--config={config}",
            f"--kubeconfig={pki.kubeconfig(machine.name)}",
            f"--hostname-override={machine.name}",
            f"--node-ip={machine.address}",
            f"--root-dir={folder}",
            f"--cert-dir={folder / 'pki'}",
        ),
        ready=probes.http(f"http://{machine.address}:{KUBELET_HEALTH_PORT}/healthz"),
        files={config: json.dumps(settings, indent=2), resolv: f"nameserver {layout.DNS_SERVICE}\n"},
        enter=machine.enter(),
    )


def kube_proxy(machine: Machine) -> Component:
    """Makes Services reachable from the machine and its pods, by an nftables table of its own."""
    config = machine.folder / "kube-proxy" / "config.json"
    settings = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "bindAddress": machine.address,
        "healthzBindAddress": f"{machine.address}:{PROXY_HEALTH_PORT}",
        "metricsBindAddress": f"{machine.address}:{PROXY_METRICS_PORT}",
        "hostnameOverride": machine.name,
        "clientConnection": {"kubeconfig": str(pki.kubeconfig("kube-proxy"))},
        "clusterCIDR": layout.POD_RANGE,
        "mode": "nftables",
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "nodePortAddresses": [f"{machine.address}/32"],
    }
    return Component(
        name="kube-proxy",
        folder=machine.folder,
        command=(str(build.program(build.KUBERNETES, "kube-proxy")), f"--config={config}"),
        ready=probes.http(f"http://{machine.address}:{PROXY_HEALTH_PORT}/livez"),
        files={config: json.dumps(settings, indent=2)},
        enter=machine.enter(),
    )


def _pod_network(machine: Machine) -> dict[str, object]:
    """A link of its own for each pod: all traffic is routed, so Services work without br_netfilter.

    Nothing is masqueraded: pods reach the cluster, and no further.
    """
    addresses = {
        "type": "host-local",
        "dataDir": str(machine.folder / "pod-addresses"),
        "ranges": [[{"subnet": machine.pod_range}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    plugin = {"type": "ptp", "ipMasq": False, "ipam": addresses}
    return {"cniVersion": "0.4.0", "name": network_name(machine), "plugins": [plugin]}
