"""The few calls to the API server that bringing up a cluster takes, through the relay."""

import json
import ssl
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPException, HTTPSConnection
from typing import Any

from tests.cluster.errors import ClusterError
from tests.cluster.pki import Authority

_TIMEOUT = 5.0


@dataclass(frozen=True)
class Api:
    """Talks to 127.0.0.1:`port` as the administrator."""

    port: int
    authority: Authority

    def get(self, path: str) -> dict[str, Any]:
        """Return an object or a list.

        Raises:
            ClusterError: Not reachable, or the answer is not a success.
        """
        status, body = self._request("GET", path, None)
        if status != 200:
            raise ClusterError(f"GET {path}: {status} {body[:300]}")
        decoded: dict[str, Any] = json.loads(body)
        return decoded

    def create(self, path: str, manifest: dict[str, Any]) -> None:
        """Create an object; fine if it exists.

        Raises:
            ClusterError: Not reachable, or refused.
        """
        status, body = self._request("POST", path, manifest)
        if status not in {200, 201, 409}:
            raise ClusterError(f"POST {path}: {status} {body[:300]}")

    def is_ready(self) -> bool:
        """Tell whether the API server answers and thinks itself ready."""
        try:
            status, _ = self._request("GET", "/readyz", None)
        except ClusterError:
            return False
        return status == 200

    def renewals(self) -> dict[str, datetime]:
        """Return when each node's kubelet last said that it lives.

        Raises:
            ClusterError: As `get`.
        """
        leases = self.get("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases")
        return {
            lease["metadata"]["name"]: datetime.fromisoformat(lease["spec"]["renewTime"])
            for lease in leases["items"]
        }

    def nodes(self) -> dict[str, bool]:
        """Return the registered nodes by name, with whether each is Ready.

        Raises:
            ClusterError: As `get`.
        """
        return {
            node["metadata"]["name"]: any(
                condition["type"] == "Ready" and condition["status"] == "True"
                for condition in node["status"].get("conditions", [])
            )
            for node in self.get("/api/v1/nodes")["items"]
        }

    def _request(self, method: str, path: str, manifest: dict[str, Any] | None) -> tuple[int, str]:
        admin = self.authority.pair("admin")
        context = ssl.create_default_context(cafile=str(self.authority.own.certificate))
        context.load_cert_chain(admin.certificate, admin.key)
        connection = HTTPSConnection("127.0.0.1", self.port, timeout=_TIMEOUT, context=context)
        try:
            body = None if manifest is None else json.dumps(manifest)
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read().decode(errors="replace")
        except (OSError, HTTPException) as error:
            raise ClusterError(f"cannot reach the API server: {error}") from error
        finally:
            connection.close()
