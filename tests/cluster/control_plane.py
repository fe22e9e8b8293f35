"""The control plane: etcd, the components of Kubernetes that no node has, DNS and volumes."""

import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import cgroups, network
from tests.cluster.api import Api
from tests.cluster.daemons import Daemon
from tests.cluster.errors import ClusterError
from tests.cluster.kubeconfig import write_kubeconfig
from tests.cluster.layout import (
    API_PORT,
    API_SERVICE_ADDRESS,
    CLUSTER_DOMAIN,
    CONTROL_ADDRESS,
    SERVICE_NETWORK,
    Layout,
)
from tests.cluster.pki import Authority
from tests.cluster.waiting import wait_for

_ETCD = "http://127.0.0.1:2379"
_API_HOSTS = (
    *(f"DNS:kubernetes{rest}" for rest in ("", ".default", ".default.svc")),
    f"DNS:kubernetes.default.svc.{CLUSTER_DOMAIN}",
    "DNS:localhost",
    *(f"IP:{address}" for address in ("127.0.0.1", CONTROL_ADDRESS, API_SERVICE_ADDRESS)),
)
_DNS_PORT = 53
_API_TIMEOUT = 60.0
_DNS_TIMEOUT = 30.0
_ADMINISTRATORS = "system:masters"

# Node failure in seconds instead of minutes; kubelets renew their lease every four.
_NODE_GRACE = "--node-monitor-grace-period=16s"
_NODE_PERIOD = "--node-monitor-period=2s"

_STORAGE_CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {
        "name": "standard",
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": "broker-operator.dev/host-path",
    "allowVolumeExpansion": True,
    "volumeBindingMode": "WaitForFirstConsumer",
}


@dataclass(frozen=True)
class ControlPlane:
    """What a cluster has once, as processes in a network namespace of their own.

    Attributes:
        layout: The cluster; its programs are in place.
    """

    layout: Layout

    def issue_certificates(self) -> None:
        """Make the authority, and certificate and kubeconfig of every client that is no node."""
        authority = self._authority
        authority.create()
        authority.issue("apiserver", "kube-apiserver", hosts=_API_HOSTS)
        authority.issue("admin", "admin", group=_ADMINISTRATORS)
        for name in ("kube-controller-manager", "kube-scheduler", "kube-proxy"):
            authority.issue(name, f"system:{name}")
        for name in ("admin", "kube-controller-manager", "kube-scheduler", "kube-proxy"):
            user = authority.pair(name)
            write_kubeconfig(
                self.layout.pki / f"{name}.conf", "cluster", network.api_url(), authority, user
            )

    def start_api(self) -> None:
        """Start etcd and the API server; they find each other."""
        cgroups.create(self._cgroup)
        self._start("etcd", self._etcd_argv())
        self._start("kube-apiserver", self._apiserver_argv())

    def freeze_api(self) -> None:
        """Let the API server take requests and answer none, until it is restarted."""
        self._daemon("kube-apiserver").send(signal.SIGSTOP)

    def restart_api(self) -> None:
        """Kill the API server and start it again: what it kept of old changes is forgotten.

        Raises:
            ClusterError: It does not serve again in time.
        """
        self._daemon("kube-apiserver").kill()
        self._start("kube-apiserver", self._apiserver_argv())
        self.wait_until_serving()

    def start_controllers(self) -> None:
        """Start all that needs an API server which answers."""
        for name, options in (
            ("kube-controller-manager", self._controller_manager_options()),
            ("kube-scheduler", []),
        ):
            conf = self._conf(name)
            reach = [
                f"--{use}kubeconfig={conf}" for use in ("", "authentication-", "authorization-")
            ]
            alone = ["--leader-elect=false", "--bind-address=127.0.0.1"]
            self._start(name, [self._kube, name, *reach, *alone, *options])
        folder = self.layout.volumes
        folder.mkdir(exist_ok=True)
        admin = self._conf("admin")
        self._start(
            "volumes", [self._kube, "volumes", f"--kubeconfig={admin}", f"--folder={folder}"]
        )
        self._start("coredns", [self.layout.program("coredns"), "-conf", self._write_corefile()])

    def start_relay(self) -> None:
        """Open a port on 127.0.0.1, lead it to the API server, and write the kubeconfig for it.

        Raises:
            ClusterError: None of the cluster's ports is free.
        """
        with _listen(self.layout.relay_ports) as listener:
            number, port = listener.fileno(), listener.getsockname()[1]
            program = Path(__file__).with_name("relay.py")
            self._start(
                "relay",
                [sys.executable, program, str(number), CONTROL_ADDRESS, str(API_PORT)],
                inherit=(number,),
            )
        write_kubeconfig(
            self.layout.kubeconfig,
            f"broker-operator-{self.layout.name}",
            network.api_url("127.0.0.1", port),
            self._authority,
            self._authority.pair("admin"),
        )
        (self.layout.state / "relay-port").write_text(str(port))

    def wait_until_serving(self) -> None:
        """Wait until the API server answers through the relay and thinks itself ready.

        Raises:
            ClusterError: It does not, or a component has ended; with the end of the log.
        """

        def serving() -> bool:
            for daemon in self.daemons():
                if daemon.log.exists():  # it has been started
                    daemon.check()
            return self.api().is_ready()

        server = self._daemon("kube-apiserver")
        wait_for("the API server", serving, _API_TIMEOUT, explain=server.last_words)

    def wait_until_dns_answers(self) -> None:
        """Wait until CoreDNS listens, which it does only once it knows the services.

        Raises:
            ClusterError: It does not, or it has ended; with the end of its log.
        """
        daemon = self._daemon("coredns")

        def listening() -> bool:
            daemon.check()
            sockets = Path(f"/proc/{daemon.pid}/net/udp").read_text().splitlines()[1:]
            return any(line.split()[1].endswith(f":{_DNS_PORT:04X}") for line in sockets)

        wait_for("CoreDNS", listening, _DNS_TIMEOUT, explain=daemon.last_words)

    def check(self) -> None:
        """Do nothing while all components run.

        Raises:
            ClusterError: One has ended; with the end of its log.
        """
        for daemon in self.daemons():
            daemon.check()

    def api(self) -> Api:
        """Return a client that goes through the relay, which must have been started."""
        return Api(int((self.layout.state / "relay-port").read_text()), self._authority)

    def add_storage_class(self) -> None:
        """Make the default storage class, which the `volumes` component serves."""
        self.api().create("/apis/storage.k8s.io/v1/storageclasses", _STORAGE_CLASS)

    def daemons(self) -> list[Daemon]:
        """Return all components of the control plane, running or not."""
        names = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
        return [self._daemon(name) for name in (*names, "volumes", "coredns", "relay")]

    def _etcd_argv(self) -> list[str | Path]:
        peer = "http://127.0.0.1:2380"
        return [
            "etcd",
            f"--data-dir={self.layout.state / 'etcd'}",
            f"--listen-client-urls={_ETCD}",
            f"--advertise-client-urls={_ETCD}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",  # the data live as long as the cluster
        ]

    def _apiserver_argv(self) -> list[str | Path]:
        authority, tokens = self._authority, self._authority.token_keys
        server, admin = authority.pair("apiserver"), authority.pair("admin")
        return [
            self._kube,
            "kube-apiserver",
            f"--etcd-servers={_ETCD}",
            "--bind-address=0.0.0.0",
            f"--secure-port={API_PORT}",
            f"--advertise-address={CONTROL_ADDRESS}",
            f"--service-cluster-ip-range={SERVICE_NETWORK}",
            f"--tls-cert-file={server.certificate}",
            f"--tls-private-key-file={server.key}",
            f"--client-ca-file={authority.own.certificate}",
            f"--service-account-key-file={tokens.certificate}",
            f"--service-account-signing-key-file={tokens.key}",
            f"--service-account-issuer=https://kubernetes.default.svc.{CLUSTER_DOMAIN}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            f"--kubelet-client-certificate={admin.certificate}",
            f"--kubelet-client-key={admin.key}",
            f"--kubelet-certificate-authority={authority.own.certificate}",
            "--kubelet-preferred-address-types=InternalIP",  # nothing resolves the nodes' names
            "--profiling=false",
        ]

    def _controller_manager_options(self) -> list[str]:
        return [
            f"--service-account-private-key-file={self._authority.token_keys.key}",
            f"--root-ca-file={self._authority.own.certificate}",
            "--use-service-account-credentials",
            _NODE_GRACE,
            _NODE_PERIOD,
        ]

    def _write_corefile(self) -> Path:
        corefile = self.layout.state / "Corefile"
        corefile.write_text(
            f""".:53 {{
  bind {CONTROL_ADDRESS}
  errors
  cache 5
  kubernetes {CLUSTER_DOMAIN} {{
    kubeconfig {self._conf("admin")} cluster
    ttl 5
  }}
}}
"""
        )
        return corefile

    def _start(self, name: str, argv: list[str | Path], *, inherit: tuple[int, ...] = ()) -> None:
        inside = network.inside(self.layout.control_netns)
        self._daemon(name).start([*inside, *argv], inherit=inherit)

    def _daemon(self, name: str) -> Daemon:
        return Daemon(self.layout, name, self._cgroup)

    def _conf(self, name: str) -> Path:
        return self.layout.pki / f"{name}.conf"

    @property
    def _kube(self) -> Path:
        return self.layout.program("kube")

    @property
    def _authority(self) -> Authority:
        return Authority(self.layout.pki)

    @property
    def _cgroup(self) -> str:
        return f"{self.layout.cgroup}/control"


def _listen(ports: range) -> socket.socket:
    """Return a socket that listens on the first free port."""
    for port in ports:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(128)
        except OSError:
            listener.close()
        else:
            return listener
    raise ClusterError(f"no free port on 127.0.0.1 from {ports.start} to {ports.stop - 1}")
