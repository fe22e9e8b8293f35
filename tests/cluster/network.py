"""The network of a cluster: one namespace for the control plane, one for each node.

A bridge in the control plane's namespace joins them. Nothing leads from there to the machine's own
network or to the world: traffic for other places is refused at once instead of timing out.
"""

from pathlib import Path

from tests.cluster.layout import (
    API_PORT,
    CONTROL_ADDRESS,
    MAX_NODES,
    NODE_NETWORK_BITS,
    Layout,
    Node,
)
from tests.cluster.shell import run

_NAMESPACES = Path("/run/netns")
_BRIDGE = "lan0"
_BRIDGE_MAC = "02:00:64:40:00:01"  # left alone, it changes with the ports, and neighbours get lost


def create(layout: Layout) -> None:
    """Make the control plane's namespace and the bridge in it."""
    _add_namespace(layout.control_netns)
    _ip(
        layout.control_netns,
        f"link add {_BRIDGE} address {_BRIDGE_MAC} type bridge",
        f"address add {CONTROL_ADDRESS}/{NODE_NETWORK_BITS} dev {_BRIDGE}",
        f"link set {_BRIDGE} up",
        *_routes_to_pods(layout, but=None),
        "route add unreachable default",
    )


def plug_in(node: Node) -> None:
    """Make a node's namespace and join it to the bridge."""
    control, port = node.layout.control_netns, _port(node)
    _add_namespace(node.netns)
    _ip(
        control,
        f"link add {port} type veth peer name eth0 netns {node.netns}",
        f"link set {port} master {_BRIDGE} up",
    )
    _ip(
        node.netns,
        f"address add {node.address}/{NODE_NETWORK_BITS} dev eth0",
        "link set eth0 up",
        *_routes_to_pods(node.layout, but=node),
        f"route add default via {CONTROL_ADDRESS}",  # kubelet and kube-proxy want to see one
    )


def cut_off(node: Node) -> None:
    """Take the node off the bridge, so that nobody hears of its end."""
    _ip(node.layout.control_netns, f"link set {_port(node)} down")


def unplug(node: Node) -> None:
    """Remove the node's namespace and its port; its processes must have ended."""
    _ip(node.layout.control_netns, f"link delete {_port(node)}")
    run(["ip", "netns", "delete", node.netns])


def destroy(layout: Layout) -> None:
    """Remove all namespaces of the cluster; fine if there are none."""
    for name in namespaces(layout):
        run(["ip", "netns", "delete", name])


def namespaces(layout: Layout) -> list[str]:
    """Return the names of this cluster's namespaces that exist."""
    # Not by asking `ip`: where it is not installed there are none, and that is an answer.
    names = [found.name for found in _NAMESPACES.iterdir()] if _NAMESPACES.is_dir() else []
    return sorted(name for name in names if layout.netns_pattern.fullmatch(name))


def inside(netns: str) -> list[str]:
    """Return what to put before a command to have it run in a network namespace.

    Not `ip netns exec`, which mounts another /sys and so hides the cgroups.
    """
    return ["nsenter", f"--net={path(netns)}"]


def path(netns: str) -> Path:
    """Return the file that stands for a network namespace."""
    return _NAMESPACES / netns


def api_url(address: str = CONTROL_ADDRESS, port: int = API_PORT) -> str:
    """Return the URL of the API server, by default as the nodes see it."""
    return f"https://{address}:{port}"


def _add_namespace(name: str) -> None:
    run(["ip", "netns", "add", name])
    _ip(name, "link set lo up")
    run([*inside(name), "sysctl", "-qw", "net.ipv4.ip_forward=1"])


def _routes_to_pods(layout: Layout, but: Node | None) -> list[str]:
    """Lead to the pods of all nodes that there are or may come."""
    others = (node for node in layout.nodes(MAX_NODES) if node != but)
    return [f"route add {node.pod_network} via {node.address}" for node in others]


def _port(node: Node) -> str:
    return f"port-{node.letter}"


def _ip(netns: str, *commands: str) -> None:
    run(["ip", "-netns", netns, "-batch", "-"], stdin="\n".join(commands))
