"""Released services in a virtual environment of their own, made once and kept."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[3]
REQUIREMENTS = Path(__file__).with_name("requirements.txt")


class Unavailable(Exception):
    """The services cannot be run here; the message says what to install."""


def cache_folder() -> Path:
    """`$PACIFICA_FS_TEST_CACHE`, or `.cache/pacifica-services` of this checkout."""
    given = os.environ.get("PACIFICA_FS_TEST_CACHE")
    return Path(given).expanduser().absolute() if given else ROOT / ".cache" / "pacifica-services"


def require_packages(*more: str) -> None:
    """Debian's postgresql, redis-server and `more`, installed if possible; Unavailable says what to do if not."""
    done = subprocess.run(
        [ROOT / "script" / "packages", "postgresql", "redis-server", *more],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Unavailable(f"the services need packages of the system: {done.stderr.strip()}")


def postgres_programs() -> Path:
    """The folder of initdb and postgres (not on the PATH in Debian), the newest version's."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if not versions:
        raise Unavailable("PostgreSQL's server programs were not found: apt-get install postgresql")
    return versions[-1].parent


def services_home(requirements: Path = REQUIREMENTS) -> Path:
    """The folder of the virtual environment (`venv/` in it) for these requirements and this Python; made if missing."""
    version = f"{sys.implementation.cache_tag}\n".encode()
    home = cache_folder() / hashlib.sha256(version + requirements.read_bytes()).hexdigest()[:16]
    complete = home / "complete"
    if complete.exists():
        return home
    home.mkdir(parents=True, exist_ok=True)
    with locked(home):
        if not complete.exists():
            _install(home, requirements)
            complete.touch()
    return home


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(home: Path, requirements: Path) -> None:
    venv = home / "venv"
    shutil.rmtree(venv, ignore_errors=True)
    log = home / "install.log"
    pip = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    for command in (
        [sys.executable, "-m", "venv", str(venv)],
        [*pip, "--no-deps", "-r", str(requirements)],
    ):
        with log.open("ab") as output:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False)
        if done.returncode:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-10:])
            raise Unavailable(f"{requirements.parent.name}: the services could not be installed ({log}):\n{tail}")
