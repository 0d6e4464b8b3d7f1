"""An authority of our own, and what it signs."""

from __future__ import annotations

import subprocess
from pathlib import Path

_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def make_certificates(folder: Path) -> Path:
    """In `folder`: `leaf.pem` and `leaf.key` for the loopback interface; the authority's PEM file."""
    _openssl(
        folder, "req", "-x509", *_CURVE, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
        "-subj", "/CN=pacifica-fs test CA", "-addext", "basicConstraints=critical,CA:TRUE",
    )  # fmt: skip
    _sign(folder, "leaf", "localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    return folder / "ca.pem"


def make_client_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """The certificate of the person `name`, signed by the authority of `make_certificates`, and its key."""
    _sign(folder, name, name, "extendedKeyUsage=clientAuth\n")
    return folder / f"{name}.pem", folder / f"{name}.key"


def _sign(folder: Path, file: str, subject: str, extensions: str) -> None:
    _openssl(folder, "req", *_CURVE, "-keyout", f"{file}.key", "-out", f"{file}.csr", "-subj", f"/CN={subject}")
    (folder / f"{file}.ext").write_text(f"{extensions}basicConstraints=CA:FALSE\n")
    _openssl(
        folder, "x509", "-req", "-in", f"{file}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-out", f"{file}.pem", "-days", "2", "-extfile", f"{file}.ext",
    )  # fmt: skip


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)
