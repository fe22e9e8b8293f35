"""Files that tell a client how to reach a cluster, and as whom."""

from base64 import b64encode
from pathlib import Path

import yaml

from tests.cluster.pki import Authority, Pair


def write_kubeconfig(path: Path, name: str, server: str, authority: Authority, user: Pair) -> None:
    """Write a kubeconfig for one cluster and one user, complete in itself, readable by root only.

    Args:
        path: Where to.
        name: What the cluster, the user and the context are called in it.
        server: URL of the API server.
        authority: Who signed the server's certificate.
        user: Certificate and key of the user.
    """
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "clusters": [
            {
                "name": name,
                "cluster": {
                    "server": server,
                    "certificate-authority-data": _base64(authority.own.certificate),
                },
            }
        ],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate-data": _base64(user.certificate),
                    "client-key-data": _base64(user.key),
                },
            }
        ],
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document, sort_keys=False))


def _base64(file: Path) -> str:
    return b64encode(file.read_bytes()).decode()
