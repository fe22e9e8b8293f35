"""The Go programs of the embedded cluster: built from pinned modules once, then cached.

No project publishes what is needed here as something Debian, PyPI or the Go module proxy would
carry ready-made, but the proxy has all the sources. The first build takes about ten minutes on two
cores, everything after that none.
"""

import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.cluster.cache import cached, digest
from tests.cluster.golang import find_go
from tests.cluster.progress import say
from tests.cluster.shell import run

KUBERNETES_VERSION = "v1.34.4"
HELM_VERSION = "v3.19.0"

_SOURCES = Path(__file__).parent / "go"
_BUILD_TIMEOUT = 3600.0
# The module files are complete, so a build may not change them; other settings of the machine's
# Go (where modules come from, where they are kept) stay as they are.
_GO_ENV = {
    "CGO_ENABLED": "0",
    "GOFLAGS": "-mod=readonly",
    "GOROOT": "",
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
}


@dataclass(frozen=True)
class Program:
    """A Go program: the module in `go/` that pins it, its package, and values set at link time."""

    name: str
    module: str
    package: str = "."
    values: tuple[str, ...] = ()


_KUBERNETES_VALUES = (
    # Components compare these with each other and refuse to work with an unknown version.
    f"k8s.io/component-base/version.gitVersion={KUBERNETES_VERSION}",
    "k8s.io/component-base/version.gitMajor=1",
    "k8s.io/component-base/version.gitMinor=34",
    f"k8s.io/client-go/pkg/version.gitVersion={KUBERNETES_VERSION}",
)
_KUBE = Program("kube", "kube", values=_KUBERNETES_VALUES)
_KUBECTL = Program("kubectl", "kube", "k8s.io/kubernetes/cmd/kubectl", _KUBERNETES_VALUES)
_COREDNS = Program("coredns", "coredns")
_HELM = Program(
    "helm",
    "helm",
    "helm.sh/helm/v3/cmd/helm",
    (f"helm.sh/helm/v3/internal/version.version={HELM_VERSION}",),
)


@cache
def kube() -> Path:
    """Return the program that is every Kubernetes component: `kube COMPONENT [flags]`."""
    return _built(_KUBE)


@cache
def coredns() -> Path:
    """Return CoreDNS with the plugins that the cluster's DNS needs."""
    return _built(_COREDNS)


@cache
def helm() -> Path:
    """Return Helm: the one on PATH, else our own build."""
    return _found("helm") or _built(_HELM)


@cache
def kubectl() -> Path:
    """Return kubectl: the one on PATH, else our own build."""
    return _found("kubectl") or _built(_KUBECTL)


def _found(program: str) -> Path | None:
    path = shutil.which(program)
    return Path(path) if path else None


def _built(program: Program) -> Path:
    """Return the path of a finished program, building it if its inputs are new.

    Raises:
        ClusterError: Go is missing and cannot be fetched, or the build failed.
    """
    go = find_go()
    source = _SOURCES / program.module
    flags = [
        "-trimpath",
        "-buildvcs=false",
        f"-ldflags=-s -w {' '.join(f'-X {value}' for value in program.values)}".rstrip(),
    ]
    version = run([go, "env", "GOVERSION", "GOARCH"], env=_GO_ENV)
    key = digest(source, program.package, *flags, version)

    def build(target: Path) -> None:
        say(f"building {program.name} (minutes, the first time)")
        output = target / program.name
        argv: list[str | Path] = [go, "build", *flags, "-o", output, program.package]
        run(argv, timeout=_BUILD_TIMEOUT, env=_GO_ENV, cwd=source)

    return cached(f"bin/{program.name}", key, build) / program.name
