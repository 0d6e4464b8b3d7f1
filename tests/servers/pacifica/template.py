"""The databases of a fresh site, made with the real services once and kept beside their virtual environment."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import time
from pathlib import Path

from ..guard import Guard
from ..process import Process, free_ports, listening
from . import database, seed
from .install import Unavailable, locked, postgres_programs
from .services import DATABASES, HTTP, NOTIFICATIONS, Layout, environment, services

_PATIENCE = 120.0
_KEPT = 7 * 86400.0


def template(home: Path, guard: Guard) -> Path:
    """A stopped cluster with all tables and the seed; made if what is in `home` is missing or of another make."""
    version = subprocess.check_output([postgres_programs() / "postgres", "--version"])
    sources = [Path(module.__file__ or "").read_bytes() for module in (database, seed)] + [Path(__file__).read_bytes()]
    target = home / f"databases-{hashlib.sha256(b''.join([version, *sources])).hexdigest()[:16]}"
    if not target.exists():
        with locked(home):
            if not target.exists():
                _make(home, target, guard)
    return target


def _make(home: Path, target: Path, guard: Guard) -> None:
    for old in home.glob("databases-*"):
        if time.time() - old.stat().st_ctime > _KEPT:  # nobody copies it any more
            shutil.rmtree(old, ignore_errors=True)
    folder = database.make_folder("pacifica-template-")
    guard.folder(folder)
    try:
        _fill(Layout(folder, home / "venv", ports()), guard)
        unfinished = target.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        database.copy(folder / "postgres", unfinished)
        unfinished.rename(target)
    finally:
        database.discard(folder)
        guard.forget_folder(folder)


def ports() -> dict[str, int]:
    """A free port for every server."""
    names = ("postgres", "redis", NOTIFICATIONS, *HTTP)
    return dict(zip(names, free_ports(len(names)), strict=True))


def make_folders(layout: Layout) -> None:
    """The empty folders of a site, but that of the database."""
    for name in ("logs", "etc", "home", "redis", "archive", "ingest", "cart", "work"):
        (layout.folder / name).mkdir(exist_ok=True)


def _fill(layout: Layout, guard: Guard) -> None:
    make_folders(layout)
    logs = layout.folder / "logs"
    deadline = time.monotonic() + _PATIENCE
    database.create(layout.folder / "postgres", logs / "initdb.log")
    processes = [database.server(layout, guard)]
    try:
        processes[0].start()
        processes[0].wait(lambda: database.ready(layout), deadline)
        database.create_databases(layout)
        _make_tables(layout)
        table = services(layout, notifications=False)
        for name in ("metadata", "uniqueid"):
            env = {**environment(layout, notifications=False), **table[name].env}
            log, cwd = logs / f"{name}.log", layout.folder / "work"
            process = Process(name, table[name].command, guard=guard, log=log, env=env, cwd=cwd)
            process.start()
            processes.append(process)
        for process in processes[1:]:
            process.wait(lambda port=layout.ports[process.name]: listening(port), deadline)  # type: ignore[misc]
        seed.seed(layout.url("metadata"), layout.url("uniqueid"))
    finally:
        for process in reversed(processes):
            process.stop()


def _make_tables(layout: Layout) -> None:
    running = []
    for name in DATABASES:
        env = {**environment(layout, notifications=False), "PEEWEE_URL": layout.database_url(name)}
        command = [str(layout.venv / "bin" / f"pacifica-{name}-cmd"), "dbsync"]
        log = (layout.folder / "logs" / f"dbsync-{name}.log").open("w+b")
        running.append(
            (name, log, subprocess.Popen(command, env=env, cwd=layout.folder / "work", stdout=log, stderr=log))
        )
    failed = ""
    for name, log, process in running:
        if process.wait(timeout=_PATIENCE):
            log.seek(0)
            failed += f"the tables of {name} could not be made:\n{log.read()[-2000:].decode(errors='replace')}"
        log.close()
    if failed:
        raise Unavailable(failed)
