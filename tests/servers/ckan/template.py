"""A fresh CKAN site, made with the real programs once and kept beside CKAN's virtual environment as a snapshot."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import time
from pathlib import Path

import requests

from ..guard import Guard
from ..pacifica import database
from ..pacifica.install import Unavailable, locked, postgres_programs
from ..process import LOOPBACK, Process, free_ports, listening
from . import seed, services
from .install import PROGRAMS, Homes
from .services import FRONTS, PORTS, Layout, Service

FOLDERS = ("logs", "etc", "home", "redis", "solr", "storage", "tokens", "work")
KEPT = ("postgres", "solr", "storage", "tokens")
_PATIENCE = 120.0
_SQL = """
CREATE ROLE ckan_default LOGIN;
CREATE ROLE datastore_default LOGIN;
CREATE DATABASE ckan_default OWNER ckan_default;
CREATE DATABASE datastore_default OWNER ckan_default;
"""


def ports() -> dict[str, int]:
    """A free port for every server."""
    return dict(zip(PORTS, free_ports(len(PORTS)), strict=True))


def template(homes: Homes, guard: Guard) -> Path:
    """The snapshot; made if it is missing or of another make."""
    version = subprocess.check_output([postgres_programs() / "postgres", "--version"])
    files = [Path(module.__file__ or "") for module in (database, seed, services)]
    files += [Path(__file__), PROGRAMS / "prepare_databases.py", PROGRAMS / "solr_standin.py"]
    sources = b"".join(file.read_bytes() for file in files)
    target = homes.ckan / f"site-{hashlib.sha256(version + sources).hexdigest()[:16]}"
    if not target.exists():
        with locked(homes.ckan):
            if not target.exists():
                _make(homes, target, guard)
    return target


def lay_out(snapshot: Path, layout: Layout) -> None:
    """Copy the snapshot to a fresh folder. Addresses in the search index become those of the new ports."""
    for name in FOLDERS:
        (layout.folder / name).mkdir(exist_ok=True)
    for name in KEPT:
        shutil.rmtree(layout.folder / name, ignore_errors=True)
        if name == "postgres":
            database.copy(snapshot / name, layout.folder / name)
        else:
            shutil.copytree(snapshot / name, layout.folder / name)
    old = (snapshot / "port").read_text()
    journal = layout.folder / "solr" / "journal"
    text = journal.read_text()
    journal.write_text(text.replace(f"{LOOPBACK}:{old}", f"{LOOPBACK}:{layout.ports['ckan']}"))


def process(name: str, service: Service, layout: Layout, guard: Guard) -> Process:
    """One program of a site, not yet started."""
    log = layout.folder / "logs" / f"{name}.log"
    return Process(name, service.command, guard=guard, log=log, env=service.env, cwd=layout.folder / "work")


def redis(layout: Layout, guard: Guard) -> Process:
    """The redis server, which keeps nothing."""
    port = str(layout.ports["redis"])
    words = ("--port", port, "--bind", LOOPBACK, "--save", "", "--appendonly", "no")
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"}
    command = ("redis-server", *words, "--dir", str(layout.folder / "redis"))
    return process("redis", Service(command, env, ""), layout, guard)


def wait(process: Process, layout: Layout, probe: str, deadline: float) -> None:
    """Until it answers; NotReady has its log."""
    if process.name == "postgres":
        process.wait(lambda: database.ready(layout), deadline)  # type: ignore[arg-type]
    elif process.name == "redis":
        process.wait(lambda: listening(layout.ports["redis"]), deadline)
    else:
        process.wait(lambda: _answers(layout.url(process.name) + probe), deadline)


def _answers(url: str) -> bool:
    try:
        with requests.Session() as http:
            http.trust_env = False
            return http.get(url, timeout=10).status_code == 200
    except requests.RequestException:
        return False


def _make(homes: Homes, target: Path, guard: Guard) -> None:
    for old in homes.ckan.glob("site-*"):
        if time.time() - old.stat().st_ctime > 7 * 86400.0:  # nobody copies it any more
            shutil.rmtree(old, ignore_errors=True)
    folder = database.make_folder("ckan-template-")
    guard.folder(folder)
    try:
        layout = Layout(folder, homes, ports())
        _fill(layout, guard)
        unfinished = target.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        for name in KEPT:
            if name == "postgres":
                database.copy(folder / name, unfinished / name)
            else:
                shutil.copytree(folder / name, unfinished / name)
        (unfinished / "port").write_text(str(layout.ports["ckan"]))
        unfinished.rename(target)
    finally:
        database.discard(folder)
        guard.forget_folder(folder)


def _fill(layout: Layout, guard: Guard) -> None:
    for name in FOLDERS:
        (layout.folder / name).mkdir()
    logs = layout.folder / "logs"
    database.create(layout.folder / "postgres", logs / "initdb.log")
    running = [database.server(layout, guard), redis(layout, guard)]  # type: ignore[arg-type]
    try:
        for each in running:
            each.start()
        table = services.services(layout)
        running.append(process("solr", table["solr"], layout, guard))
        running[-1].start()
        deadline = time.monotonic() + _PATIENCE
        for each in running:
            wait(each, layout, table["solr"].probe, deadline)
        _psql(layout, _SQL)
        _psql(layout, _prepared(layout))
        table = services.services(layout)  # once more: the configuration has the token now
        front = process("ckan", table["ckan"], layout, guard)
        running.append(front)
        front.start()
        wait(front, layout, table["ckan"].probe, time.monotonic() + _PATIENCE)
        write = layout.folder / "tokens"
        seed.seed(layout.url("ckan"), layout.token, lambda user, token: (write / user).write_text(token))
    finally:
        for each in reversed(running):
            each.stop()


def _psql(layout: Layout, sql: str) -> None:
    command = [str(postgres_programs() / "psql"), "-q", "-h", LOOPBACK, "-p", str(layout.ports["postgres"])]
    command += ["-U", "pacifica", "-d", "postgres", "-v", "ON_ERROR_STOP=1"]
    done = subprocess.run(command, input=sql, text=True, capture_output=True, check=False)
    if done.returncode:
        raise Unavailable(f"CKAN's databases could not be made:\n{done.stderr[-2000:]}")


def _prepared(layout: Layout) -> str:
    service = services.services(layout)[next(iter(FRONTS))]
    command = [str(layout.homes.ckan / "venv" / "bin" / "python"), str(PROGRAMS / "prepare_databases.py")]
    done = subprocess.run(
        command, env=service.env, cwd=layout.folder / "work", capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Unavailable(f"CKAN's tables could not be made:\n{done.stderr[-2000:]}")
    return done.stdout
