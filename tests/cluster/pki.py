"""Certificates of a cluster: one authority, and a short-lived world that trusts nothing else."""

from dataclasses import dataclass
from pathlib import Path

from tests.cluster.shell import run

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc")
_DAYS = ("-days", "3650")
_CONFIG = "[req]\ndistinguished_name = name\n[name]\n"  # not the machine's: it adds extensions


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """Signs certificates and keeps all of them in `folder`."""

    folder: Path

    @property
    def own(self) -> Pair:
        """The authority's own certificate and key."""
        return self.pair("ca")

    @property
    def token_keys(self) -> Pair:
        """Public and private key (in that order) that service account tokens are signed with."""
        return Pair(self.folder / "tokens.pub", self.folder / "tokens.key")

    def create(self) -> None:
        """Make the authority and the keys for service account tokens."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "openssl.cnf").write_text(_CONFIG)
        may = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"]
        self._request(self.own, "/CN=broker-operator embedded cluster", may)
        public, private = self.token_keys.certificate, self.token_keys.key
        curve = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1")
        run(["openssl", "genpkey", *curve, "-out", private])
        run(["openssl", "pkey", "-in", private, "-pubout", "-out", public])

    def issue(self, name: str, user: str, *, group: str = "", hosts: tuple[str, ...] = ()) -> Pair:
        """Sign a certificate for the Kubernetes user `user`, a member of `group`.

        Args:
            name: File name, without ending.
            user: Common name.
            group: Organisation, which Kubernetes reads as a group.
            hosts: Alternative names as openssl writes them: `DNS:localhost`, `IP:127.0.0.1`.
        """
        pair = self.pair(name)
        subject = f"/O={group}/CN={user}" if group else f"/CN={user}"
        may = [
            "basicConstraints=critical,CA:FALSE",
            f"subjectAltName={','.join(hosts) or f'DNS:{name}'}",
        ]
        self._request(pair, subject, may, "-CA", self.own.certificate, "-CAkey", self.own.key)
        return pair

    def pair(self, name: str) -> Pair:
        """Return where certificate and key of `name` are."""
        return Pair(self.folder / f"{name}.crt", self.folder / f"{name}.key")

    def _request(self, pair: Pair, subject: str, extensions: list[str], *more: str | Path) -> None:
        config: list[str | Path] = ["-config", self.folder / "openssl.cnf", "-subj", subject]
        out: list[str | Path] = ["-out", pair.certificate, "-keyout", pair.key]
        added = [word for extension in extensions for word in ("-addext", extension)]
        run(["openssl", "req", "-x509", *_KEY, *_DAYS, *config, *out, *added, *more])
