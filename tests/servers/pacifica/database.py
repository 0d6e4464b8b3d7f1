"""PostgreSQL for a test site: made once with all tables and rows, kept as a snapshot, copied for each start."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..guard import Guard
from ..process import LOOPBACK, Process
from .install import Unavailable, postgres_programs
from .services import DATABASES, Layout

# PostgreSQL refuses to run as root.
ACCOUNT = "postgres"
# Nothing of it has to survive a crash.
_CARELESS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=300")


def account() -> str | None:
    """The account that the server must run as, None for our own."""
    return ACCOUNT if os.getuid() == 0 else None


def make_folder(name: str) -> Path:
    """A fresh folder that the server's account can enter; for the caller to remove."""
    user = account()
    for parent in dict.fromkeys((tempfile.gettempdir(), "/tmp", "/var/tmp")):
        folder = Path(tempfile.mkdtemp(prefix=name, dir=parent))
        if user is None:
            return folder
        folder.chmod(0o711)
        if _reachable(folder, user):
            return folder
        folder.rmdir()
    raise Unavailable(f"no folder for temporary files can be entered by the account {user}: set TMPDIR")


def create(data: Path, log: Path) -> None:
    """An empty cluster in `data`."""
    _own(data)
    programs = postgres_programs()
    command = [str(programs / "initdb"), "-D", str(data), "-U", "pacifica", "-A", "trust", "-E", "UTF8", "--no-sync"]
    _run([*command, "--wal-segsize=1"], log, user=account())


def server(layout: Layout, guard: Guard) -> Process:
    """The server of the cluster in `layout.folder/postgres`."""
    data = layout.folder / "postgres"
    settings = [word for setting in _CARELESS for word in ("-c", setting)]
    command = [str(postgres_programs() / "postgres"), "-D", str(data), "-p", str(layout.ports["postgres"])]
    return Process(
        "postgres",
        [*command, "-h", LOOPBACK, "-k", "", *settings],
        guard=guard,
        log=layout.folder / "logs" / "postgres.log",
        env={"LC_ALL": "C.UTF-8", "PATH": os.environ.get("PATH", os.defpath)},
        cwd=data,
        user=account(),
        stop_signal=signal.SIGINT,
    )


def ready(layout: Layout) -> bool:
    """True if the server takes connections."""
    command = [str(postgres_programs() / "pg_isready"), "-q", "-h", LOOPBACK, "-p", str(layout.ports["postgres"])]
    return subprocess.run(command, check=False).returncode == 0


def create_databases(layout: Layout) -> None:
    """One empty database for each service."""
    command = [str(postgres_programs() / "psql"), "-q", "-h", LOOPBACK, "-p", str(layout.ports["postgres"])]
    command += ["-U", "pacifica", "-d", "postgres", "-v", "ON_ERROR_STOP=1"]
    for name in DATABASES:
        command += ["-c", f"create database pacifica_{name} strategy file_copy"]
    _run(command, layout.folder / "logs" / "databases.log")


def copy(source: Path, target: Path) -> None:
    """A stopped cluster's files, owned by the server's account."""
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(target)], check=True)
    _own(target)


def _own(data: Path) -> None:
    data.mkdir(exist_ok=True)
    data.chmod(0o700)
    if user := account():
        subprocess.run(["chown", "-R", f"{user}:", str(data)], check=True)


def _reachable(folder: Path, user: str) -> bool:
    command = ["test", "-x", str(folder)]
    return subprocess.run(command, cwd="/", user=user, group=user, extra_groups=[], check=False).returncode == 0


def _run(command: Sequence[str], log: Path, user: str | None = None) -> None:
    env = {"LC_ALL": "C.UTF-8", "PATH": os.environ.get("PATH", os.defpath)}
    account = {"user": user, "group": user, "extra_groups": []} if user else {}
    with log.open("ab") as output:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", env=env, check=False, **account
        )
    if done.returncode:
        raise Unavailable(f"{command[0]} failed:\n{log.read_text(errors='replace')[-2000:]}")


def discard(folder: Path) -> None:
    """Remove what `make_folder` made."""
    shutil.rmtree(folder, ignore_errors=True)
