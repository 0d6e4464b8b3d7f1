"""A faulty proxy in front of every service of a site: requests are counted, and each service can break alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any

from .faulty import FaultyProxy
from .pacifica import Site

SERVICES = ("policy", "metadata", "ingest", "cart", "archive_interface", "files_by_hash")


class Front:
    """The proxies of `site`'s services, by their names in a configuration: `front["cart"]`. Open until `close`."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._stack = ExitStack()
        self._proxies = {name: self._stack.enter_context(FaultyProxy(getattr(site, name))) for name in SERVICES}

    def __enter__(self) -> Front:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def __getitem__(self, name: str) -> FaultyProxy:
        return self._proxies[name]

    def table(self, *services: str, **options: Any) -> Mapping[str, Any]:
        """A `[archives.NAME]` table with these services (none named: policy, ingest and cart), through the proxies."""
        chosen = services or ("policy", "ingest", "cart")
        table = {"kind": "pacifica", "user": self.site.logon, **{name: self[name].url for name in chosen}, **options}
        return {key: value for key, value in table.items() if value is not None}

    def carts(self) -> set[str]:
        """The uids of all carts that were asked for since `forget`."""
        return {request.path.strip("/") for request in self["cart"].requests if request.method == "POST"}

    def requests(self) -> list[str]:
        """Everything that was asked since `forget`."""
        found = [(name, request) for name, proxy in self._proxies.items() for request in proxy.requests]
        return [f"{name}: {request.method} {request.path}" for name, request in found]

    def forget(self) -> None:
        """Count from zero."""
        for proxy in self._proxies.values():
            proxy.forget()

    def clear(self) -> None:
        """No faults any more, and all accept connections."""
        for proxy in self._proxies.values():
            proxy.clear()

    @contextmanager
    def down(self, *names: str) -> Iterator[None]:
        """These services (none named: all) refuse connections."""
        chosen = names or SERVICES
        for name in chosen:
            self[name].refuse()
        try:
            yield
        finally:
            for name in chosen:
                self[name].accept()

    def close(self) -> None:
        """Close all."""
        self._stack.close()
