"""A whole Pacifica site on free ports of the loopback interface, started in seconds and gone without a trace."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from ..guard import Guard
from ..process import LOOPBACK, Process, listening
from . import database, seed
from .install import require_packages, services_home
from .services import NOTIFICATIONS, Layout, environment, services
from .template import make_folders, ports, template

_PATIENCE = 90.0


class Site:
    """The services of one site. Use as a context manager, from one thread.

    `policy metadata ingest cart archive_interface files_by_hash uniqueid` are base URLs without a slash at the end;
    `user logon project instrument` may upload together; `logs` is the folder of all logs; `archive_folder` holds the
    archived files by id; `venv` has the services and the official clients.
    """

    user = seed.MEMBER
    logon = seed.LOGONS[seed.MEMBER]
    project = "51001"
    instrument = 2001

    def __init__(self, layout: Layout, guard: Guard, notifications: bool) -> None:
        self.folder = layout.folder
        self.venv = layout.venv
        self.logs = layout.folder / "logs"
        self.archive_folder = layout.folder / "archive"
        self.policy = layout.url("policy")
        self.metadata = layout.url("metadata")
        self.ingest = layout.url("ingest")
        self.cart = layout.url("cart")
        self.archive_interface = layout.url("archive")
        self.files_by_hash = layout.url("proxy")
        self.uniqueid = layout.url("uniqueid")
        self.notifications = layout.url(NOTIFICATIONS) if notifications else ""
        self.database = layout.database_url("metadata")
        self.guard = guard
        self.start_seconds = 0.0
        self._layout = layout
        self._table = services(layout, notifications)
        self._processes = {"postgres": database.server(layout, guard), "redis": self._redis()}
        common = environment(layout, notifications)
        for name, service in self._table.items():
            self._processes[name] = Process(
                name,
                service.command,
                guard=guard,
                log=self.logs / f"{name}.out",
                env={**common, **service.env},
                cwd=layout.folder / "work",
            )

    @classmethod
    def prepare(cls, guard: Guard, notifications: bool = False) -> Site:
        """Install what is missing and lay out a fresh site, not yet started. Raises `install.Unavailable`."""
        home, databases = install(guard)
        folder = database.make_folder("pacifica-site-")
        guard.folder(folder)
        layout = Layout(folder, home / "venv", ports())
        make_folders(layout)
        database.copy(databases, folder / "postgres")
        return cls(layout, guard, notifications)

    def __enter__(self) -> Site:
        begun = time.monotonic()
        try:
            self.restore()
        except BaseException:
            self.close()
            raise
        self.start_seconds = time.monotonic() - begun
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def names(self) -> tuple[str, ...]:
        """All programs that `stop`, `kill` and `start` know."""
        return tuple(self._processes)

    @property
    def urls(self) -> dict[str, str]:
        """The URLs by the names that a `[archives.NAME]` table of kind pacifica gives them."""
        return {
            "policy": self.policy,
            "metadata": self.metadata,
            "ingest": self.ingest,
            "cart": self.cart,
            "archive_interface": self.archive_interface,
            "files_by_hash": self.files_by_hash,
        }

    def alive(self, name: str) -> bool:
        """True if this program runs."""
        return self._processes[name].alive()

    def stop(self, name: str) -> None:
        """End one program properly; connections to it are then refused."""
        self._processes[name].stop()

    def kill(self, name: str) -> None:
        """End one program and its children at once, in the middle of what it does."""
        self._processes[name].kill()

    def pid(self, name: str) -> int:
        """The process id of one program, for SIGSTOP and SIGCONT."""
        return self._processes[name].pid

    def start(self, name: str) -> None:
        """Start one program (again) on its port; returns when it answers."""
        self._processes[name].start()
        self._wait(name, time.monotonic() + _PATIENCE)

    def restore(self) -> None:
        """Start whatever does not run; returns when all answer. The workers' half-done tasks stay as they are."""
        down = [name for name in self._processes if not self.alive(name)]
        for name in down:
            self._processes[name].start()
        deadline = time.monotonic() + _PATIENCE
        for name in down:
            self._wait(name, deadline)

    def close(self) -> None:
        """End all, and remove the site's folder. Never raises for a program that ended by itself."""
        last = ("redis", "postgres")
        others = [self._processes[name] for name in self._processes if name not in last]
        for process in others:
            process.interrupt()
        for process in [*others, *(self._processes[name] for name in last)]:
            process.stop(timeout=5)
        database.discard(self.folder)
        self.guard.forget_folder(self.folder)

    def log(self, name: str, lines: int = 60) -> str:
        """The last lines of what a program wrote to its output and its log."""
        files = [self.logs / f"{name}.out", self.logs / f"{name}.log"]
        text = [
            line for file in files if file.exists() for line in file.read_text(errors="replace").splitlines()[-lines:]
        ]
        return "\n".join(text)

    def cli(self, *arguments: str, cwd: Path, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """Run `pacifica-cli` with these arguments against this site."""
        config = self.folder / "etc" / "uploader.json"
        config.write_text(json.dumps(uploader_template()))
        return subprocess.run(
            [str(self.venv / "bin" / "pacifica-cli"), "--config", str(config), *arguments],
            cwd=cwd,
            env=self.client_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def cli_upload(self, folder: Path) -> dict[str, Any]:
        """Upload `folder` with `pacifica-cli upload`; the job's last state (it exits with 0 for failed jobs too).

        It runs in the parent folder, since it cannot upload an absolute path: the files get `FOLDER/…` as their paths.
        """
        target = ("--logon", self.logon, "--project", self.project, "--instrument", str(self.instrument))
        done = self.cli("upload", *target, folder.name, cwd=folder.parent)
        if done.returncode or "\n{" not in done.stdout:
            raise RuntimeError(f"pacifica-cli: exit {done.returncode}: {done.stdout}{done.stderr}")
        state: dict[str, Any] = json.loads(done.stdout[done.stdout.rindex("\n{") :])
        return state

    def client_environment(self) -> dict[str, str]:
        """The environment that makes the official clients use this site."""
        return {
            "PATH": f"{self.venv / 'bin'}:{os.environ.get('PATH', os.defpath)}",
            "HOME": str(self.folder / "home"),
            "LC_ALL": "C.UTF-8",
            "NO_PROXY": "*",
            "PYTHONWARNINGS": "ignore",
            "UPLOAD_URL": f"{self.ingest}/upload",
            "UPLOAD_STATUS_URL": f"{self.ingest}/get_state",
            "UPLOAD_POLICY_URL": f"{self.policy}/uploader",
            "UPLOAD_VALIDATION_URL": f"{self.policy}/ingest",
            "DOWNLOAD_URL": self.cart,
            "DOWNLOAD_POLICY_URL": f"{self.policy}/status/transactions/by_id",
        }

    def archive_table(self, **options: Any) -> Mapping[str, Any]:
        """A `[archives.NAME]` table for this site; an option of None leaves that key out."""
        table = {"kind": "pacifica", **self.urls, **options}
        return {key: value for key, value in table.items() if value is not None}

    def _redis(self) -> Process:
        folder = self._layout.folder / "redis"
        port = str(self._layout.ports["redis"])
        return Process(
            "redis",
            [
                "redis-server",
                "--port",
                port,
                "--bind",
                LOOPBACK,
                "--save",
                "",
                "--appendonly",
                "no",
                "--dir",
                str(folder),
            ],
            guard=self.guard,
            log=self.logs / "redis.out",
            env={"PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"},
            cwd=folder,
        )

    def _wait(self, name: str, deadline: float) -> None:
        process = self._processes[name]
        if name == "postgres":
            process.wait(lambda: database.ready(self._layout), deadline)
        elif name == "redis":
            process.wait(lambda: listening(self._layout.ports[name]), deadline)
        elif not self._table[name].probe:
            process.wait(lambda: " ready." in process.output(), deadline)
        else:
            process.wait(lambda: _answers(self._layout.url(name) + self._table[name].probe), deadline)


def install(guard: Guard) -> tuple[Path, Path]:
    """The folder of the services' virtual environment, and the databases of a fresh site; both made if missing."""
    require_packages()
    home = services_home()
    return home, template(home, guard)


def _answers(url: str) -> bool:
    try:
        with requests.Session() as http:
            http.trust_env = False
            return http.get(url, timeout=10).status_code < 600
    except requests.RequestException:
        return False


def uploader_template() -> list[dict[str, Any]]:
    """The least that a site's uploader.json asks for: submitter, project, instrument."""

    def entry(id: str, title: str, table: str, shown: str, fields: list[str], **more: Any) -> dict[str, Any]:
        return {
            "metaID": id,
            "destinationTable": f"Transactions.{ {'logon': 'submitter'}.get(id, id) }",
            "value": "",
            "displayType": "select",
            "displayTitle": title,
            "displayFormat": shown,
            "sourceTable": table,
            "queryFields": fields,
            "valueField": "_id",
            "queryDependency": {},
            **more,
        }

    person = ["_id", "first_name", "last_name"]
    return [
        entry("logon", "Logged on user", "users", "{_id} {first_name} {last_name}", person, displayType="logged_on"),
        entry("project", "Project", "projects", "{_id} {title}", ["_id", "title"]),
        entry(
            "instrument", "Instrument", "instruments", "{_id} {display_name}", ["_id", "display_name"],
            queryDependency={"project_id": "project"},
        ),
    ]  # fmt: skip
