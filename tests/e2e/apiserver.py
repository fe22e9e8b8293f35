"""A real Kubernetes API server with nothing behind it: etcd and kube-apiserver on loopback.

No controllers, no nodes: objects are stored, validated, defaulted and merged, and that is all.
Ready within seconds, and gone with the process that started it.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen, TimeoutExpired

from tests.cluster import binaries
from tests.cluster.api import Api
from tests.cluster.debian import ensure_programs
from tests.cluster.errors import ClusterError
from tests.cluster.kubeconfig import write_kubeconfig
from tests.cluster.pki import Authority
from tests.cluster.shell import run, tail
from tests.cluster.waiting import wait_for
from tests.ports import LOOPBACK, free_ports

CRDS = Path(__file__).parents[2] / "crds"

_PROGRAMS = {"etcd": "etcd-server", "openssl": "openssl", "setpriv": "util-linux"}
_READY_TIMEOUT = 60.0
_STOP_TIMEOUT = 15.0
_ADMINISTRATORS = "system:masters"


@dataclass(frozen=True)
class ApiServer:
    """An API server that runs.

    Attributes:
        port: On 127.0.0.1.
        authority: Signs the certificates of its users.
        folder: Kubeconfigs lie here.
    """

    port: int
    authority: Authority
    folder: Path

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.kubeconfig_of("admin", _ADMINISTRATORS)

    @property
    def api(self) -> Api:
        """A plain client, as the administrator."""
        return Api(self.port, self.authority)

    def kubeconfig_of(self, user: str, group: str = "") -> Path:
        """Return the kubeconfig of any user; one without group may do what RBAC rules say."""
        path = self.folder / f"{user}.conf"
        if not path.exists():
            pair = self.authority.issue(user, user, group=group)
            url = f"https://{LOOPBACK}:{self.port}"
            write_kubeconfig(path, "apiserver", url, self.authority, pair)
        return path

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        """Run kubectl as the administrator and return what it prints.

        Raises:
            ClusterError: It failed.
        """
        return run([binaries.kubectl(), f"--kubeconfig={self.kubeconfig}", *args], stdin=stdin)

    def install_crds(self) -> None:
        """Install the operator's custom resources and wait until they are served."""
        self.kubectl("apply", "--server-side", f"--kustomize={CRDS}")
        self.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")

    def create_namespace(self, name: str) -> None:
        """Create a namespace; fine if it exists."""
        self.api.create("/api/v1/namespaces", {"metadata": {"name": name}})

    def grant(self, user: str, namespace: str, verb: str, resource: str) -> None:
        """Let a user do something in a namespace."""
        where = f"--namespace={namespace}"
        self.kubectl("create", "role", user, f"--verb={verb}", f"--resource={resource}", where)
        self.kubectl("create", "rolebinding", user, f"--role={user}", f"--user={user}", where)


@contextmanager
def running_api_server(folder: Path) -> Iterator[ApiServer]:
    """Run an API server; its data, certificates and logs go to `folder`, which must be empty.

    Raises:
        ClusterError: A program is missing, or the server does not get ready; with its last words.
    """
    ensure_programs(_PROGRAMS)
    kube = binaries.kube()
    authority = Authority(folder / "pki")
    authority.create()
    authority.issue("apiserver", "kube-apiserver", hosts=(f"IP:{LOOPBACK}", "DNS:localhost"))
    authority.issue("admin", "admin", group=_ADMINISTRATORS)
    etcd_port, peer_port, port = free_ports(3)
    server = ApiServer(port, authority, folder)
    with ExitStack() as stack:
        etcd = _etcd(folder, etcd_port, peer_port)
        stack.enter_context(_running(etcd, folder / "etcd.log"))
        apiserver = _kube_apiserver(kube, authority, etcd_port, port)
        process = stack.enter_context(_running(apiserver, folder / "kube-apiserver.log"))
        _wait_until_ready(server, process, folder / "kube-apiserver.log")
        yield server


def _etcd(folder: Path, port: int, peer_port: int) -> list[str | Path]:
    client, peer = f"http://{LOOPBACK}:{port}", f"http://{LOOPBACK}:{peer_port}"
    return [
        "etcd",
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
    ]


def _kube_apiserver(kube: Path, authority: Authority, etcd: int, port: int) -> list[str | Path]:
    tokens, server = authority.token_keys, authority.pair("apiserver")
    return [
        kube,
        "kube-apiserver",
        f"--etcd-servers=http://{LOOPBACK}:{etcd}",
        f"--bind-address={LOOPBACK}",
        f"--advertise-address={LOOPBACK}",
        f"--secure-port={port}",
        f"--tls-cert-file={server.certificate}",
        f"--tls-private-key-file={server.key}",
        f"--client-ca-file={authority.own.certificate}",
        f"--service-account-key-file={tokens.certificate}",
        f"--service-account-signing-key-file={tokens.key}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-cluster-ip-range=100.96.0.0/16",
        "--authorization-mode=RBAC",
        "--disable-admission-plugins=ServiceAccount",  # nobody makes the default ones here
        "--endpoint-reconciler-type=none",  # a loopback address is no endpoint
        "--profiling=false",
    ]


@contextmanager
def _running(argv: list[str | Path], log: Path) -> Iterator[Popen[bytes]]:
    """Run a program until the block ends, or until this process dies, whatever it dies of."""
    command = ["setpriv", "--pdeathsig=KILL", *argv]
    with log.open("wb") as output, Popen(command, stdout=output, stderr=output) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_STOP_TIMEOUT)
            except TimeoutExpired:
                process.kill()


def _wait_until_ready(server: ApiServer, process: Popen[bytes], log: Path) -> None:
    def ready() -> bool:
        return process.poll() is not None or server.api.is_ready()

    try:
        wait_for("the API server to be ready", ready, _READY_TIMEOUT)
    except ClusterError as error:
        raise ClusterError(f"{error}. The end of {log}:\n{tail(log.read_text())}") from error
    if process.poll() is not None:
        raise ClusterError(f"kube-apiserver ended. The end of {log}:\n{tail(log.read_text())}")
