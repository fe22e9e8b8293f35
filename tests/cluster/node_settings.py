"""The settings of a node's programs, as files on its disk."""

import json
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import cgroups, images
from tests.cluster.layout import CLUSTER_DOMAIN, CONTROL_ADDRESS, POD_NETWORK, Node
from tests.cluster.pki import Authority

CNI_PLUGINS = Path("/usr/lib/cni")
"""Where Debian puts the programs that plug pods into the network."""

_CONTAINERD = """version = 2
root = {root}
state = "/run/containerd/state"

[grpc]
  address = {socket}

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = {pause}
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = {plugins}
    conf_dir = {networks}
"""


def write_settings(node: Node) -> None:
    """Write what containerd, kubelet and kube-proxy of `node` are started with."""
    networks = node.folder / "cni"
    networks.mkdir(parents=True, exist_ok=True)
    (networks / "10-pods.conflist").write_text(json.dumps(_pod_network(node)))
    (node.folder / "resolv.conf").write_text(f"nameserver {CONTROL_ADDRESS}\n")
    (node.folder / "containerd.toml").write_text(_containerd(node, networks))
    (node.folder / "kubelet.yaml").write_text(yaml.safe_dump(_kubelet(node)))
    (node.folder / "kube-proxy.yaml").write_text(yaml.safe_dump(_kube_proxy(node)))


def _containerd(node: Node, networks: Path) -> str:
    values = {
        "root": node.folder / "images",
        "socket": node.socket,
        "pause": images.REFERENCES["pause"],
        "plugins": CNI_PLUGINS,
        "networks": networks,
    }
    # JSON's strings are TOML's.
    return _CONTAINERD.format(**{key: json.dumps(str(value)) for key, value in values.items()})


def _pod_network(node: Node) -> dict[str, Any]:
    """Give every pod a cable of its own, so that all traffic is routed.

    A bridge would need br_netfilter for services between pods of one node, and not every kernel
    has that.
    """
    return {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": node.pod_network}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def _kubelet(node: Node) -> dict[str, Any]:
    authority = Authority(node.layout.pki)
    pair = authority.pair(node.name)
    settings: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority.own.certificate)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pair.certificate),
        "tlsPrivateKeyFile": str(pair.key),
        "clusterDNS": [CONTROL_ADDRESS],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": str(node.folder / "resolv.conf"),
        "containerRuntimeEndpoint": f"unix://{node.socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.pods_cgroup}",
        "podLogsDir": str(node.folder / "pod-logs"),
        "volumePluginDir": str(node.folder / "volume-plugins"),
        "featureGates": {"KubeletInUserNamespace": True},  # forgives what a guest may not do
        "failSwapOn": False,
        "localStorageCapacityIsolation": False,  # cannot measure every file system
        "evictionHard": {"memory.available": "100Mi"},  # a full disk is not the node's fault
        "imageGCHighThresholdPercent": 100,  # images cannot be pulled again
        "maxPods": 60,
        # A lease every four seconds shows that the node lives; the report may take longer.
        "nodeLeaseDurationSeconds": 16,
        "nodeStatusUpdateFrequency": "10s",
        "nodeStatusReportFrequency": "1m",
    }
    return settings if cgroups.is_v2() else settings | {"failCgroupV1": False}


def _kube_proxy(node: Node) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clientConnection": {"kubeconfig": str(node.layout.pki / "kube-proxy.conf")},
        "hostnameOverride": node.name,
        "clusterCIDR": POD_NETWORK,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        # The table of connections is the machine's; it is not for a node to size.
        "conntrack": {
            "maxPerCore": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }
