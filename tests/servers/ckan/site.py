"""A whole CKAN site on free ports of the loopback interface, started in seconds and gone without a trace."""

from __future__ import annotations

import time
import uuid
from typing import Any

from ..guard import Guard
from ..pacifica import database
from ..process import Process
from . import template
from .install import homes
from .seed import ORGANISATION, Api
from .services import FRONTS, MAX_MIB, Layout, services

_PATIENCE = 90.0
_BASE = ("postgres", "redis", "solr", "ckan")


class CkanSite:
    """CKAN with its DataStore. Use as a context manager, from one thread.

    `url` is the site without a loader of tables. `plugin_url()` is the same site with the datapusher plugin, and
    `datapusher_url()` the real DataPusher: both are started when they are asked for. Tokens: `token("editor")`,
    `"admin"`, `"stranger"`. Methods raise `NotReady` with a log if something does not start.
    """

    organisation = ORGANISATION

    def __init__(self, layout: Layout, guard: Guard) -> None:
        self.folder, self.logs = layout.folder, layout.folder / "logs"
        self.url = layout.url("ckan")
        self.start_seconds = 0.0
        self._layout, self._guard = layout, guard
        self._table = services(layout)
        self._processes: dict[str, Process] = {
            "postgres": database.server(layout, guard),  # type: ignore[arg-type]
            "redis": template.redis(layout, guard),
            **{name: template.process(name, service, layout, guard) for name, service in self._table.items()},
        }

    @classmethod
    def prepare(cls, guard: Guard, max_mib: int = MAX_MIB) -> CkanSite:
        """Install what is missing and lay out a fresh site, not yet started. Raises `Unavailable`."""
        found = homes()
        snapshot = template.template(found, guard)
        folder = database.make_folder("ckan-site-")
        guard.folder(folder)
        layout = Layout(folder, found, template.ports(), max_mib)
        template.lay_out(snapshot, layout)
        return cls(layout, guard)

    def __enter__(self) -> CkanSite:
        begun = time.monotonic()
        try:
            self.start(*_BASE)
        except BaseException:
            self.close()
            raise
        self.start_seconds = time.monotonic() - begun
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def plugin_url(self) -> str:
        """The site with the datapusher plugin, which DataPusher serves."""
        self.start("datapusher", "plugin")
        return self._layout.url("plugin")

    def datapusher_url(self) -> str:
        """The real DataPusher."""
        self.start("datapusher")
        return self._layout.url("datapusher")

    def address(self, name: str) -> str:
        """Where a program is, or would be: `plugin`, `datapusher`."""
        return self._layout.url(name)

    def token(self, user: str = "editor") -> str:
        """A user's API token."""
        return self._layout.token(user)

    def api(self, user: str = "editor", url: str = "") -> Api:
        """A bare client."""
        return Api(url or self.url, self.token(user) if user else "")

    def package(self, private: bool = False, **more: Any) -> str:
        """A fresh package of the organisation `lab`; its name."""
        name = f"p-{uuid.uuid4().hex[:12]}"
        self.api()("package_create", name=name, owner_org=ORGANISATION, private=private, **more)
        return name

    def archive_table(self, **options: Any) -> dict[str, Any]:
        """A `[archives.NAME]` table for this site; an option of None leaves that key out."""
        table = {"kind": "ckan", "url": self.url, "token": self.token(), **options}
        return {key: value for key, value in table.items() if value is not None}

    def start(self, *names: str) -> None:
        """Start programs that do not run; returns when they answer."""
        down = [name for name in names if not self._processes[name].alive()]
        deadline = time.monotonic() + _PATIENCE
        fronts = [name for name in down if name in FRONTS]
        first = [name for name in down if name not in FRONTS]
        for group in (first, fronts):
            for name in group:
                self._processes[name].start()
            for name in group:
                probe = self._table[name].probe if name in self._table else ""
                template.wait(self._processes[name], self._layout, probe, deadline)

    def stop(self, name: str) -> None:
        """End one program properly; connections to it are then refused."""
        self._processes[name].stop()

    def kill(self, name: str) -> None:
        """End one program and its children at once, in the middle of what it does."""
        self._processes[name].kill()

    def restore(self) -> None:
        """Start again what a test ended."""
        self.start(*_BASE)

    def log(self, name: str, lines: int = 60) -> str:
        """The last lines of what a program wrote."""
        file = self.logs / f"{name}.log"
        return "\n".join(file.read_text(errors="replace").splitlines()[-lines:]) if file.exists() else ""

    def close(self) -> None:
        """End all, and remove the site's folder."""
        last = ("solr", "redis", "postgres")
        others = [self._processes[name] for name in self._processes if name not in last]
        for process in others:
            process.interrupt()
        for process in [*others, *(self._processes[name] for name in last)]:
            process.stop(timeout=5)
        database.discard(self.folder)
        self._guard.forget_folder(self.folder)
