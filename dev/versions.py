"""Every version of the local cluster's parts. After an edit, `python -m dev.pin` rewrites go.mod files."""

GO = (1, 26)  # or newer; where the host has none, the one of dev/compiler.lock

KUBERNETES = "1.36.4"
ETCD = "3.6.5"
COREDNS = "1.15.0"
HELM = "4.3.1"
# containerd, runc, CNI plugins, docker-registry, conntrack and nftables: as the release of Debian has them.
