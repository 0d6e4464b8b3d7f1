"""CKAN and DataPusher in virtual environments of their own, made once and kept (see `pacifica.install`)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ..pacifica.install import require_packages, services_home

PROGRAMS = Path(__file__).with_name("programs")


class Homes(NamedTuple):
    """Folders with a `venv` each; snapshots are kept in CKAN's."""

    ckan: Path
    datapusher: Path


def homes() -> Homes:
    """Install what is missing; Unavailable says what to do if that is not possible."""
    require_packages("libmagic1")
    return Homes(*(services_home(PROGRAMS / f"requirements-{name}.txt") for name in Homes._fields))
