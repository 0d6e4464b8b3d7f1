"""What a site has: organisations, packages, resources. One request a listing, or a page of it.

CKAN's own list of package names shows no private ones, so the search is asked, which gives whole packages: a listing of
a thousand is one request, and each of them is known by it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cachetools import TTLCache

from ...archive import Where
from ...clock import Clock
from ...errors import BadAnswer, NotFound, PacificaFSError
from ...model import UNKNOWN, Container, FileRef, Group, Listing
from ...transport.http import Http, Timeouts
from . import rows
from .api import Api

PAGE = 1000
"""Packages of one answer, at most, unless the site is configured otherwise."""
HEADS = Timeouts(connect=5.0, read=5.0)
PLAIN = {"Accept-Encoding": "identity"}
_SORT = "metadata_modified desc, name asc"


class Catalogue:
    """Any thread. `links` is the archive's HTTP, which signs requests to the site itself and to nobody else."""

    def __init__(self, archive: str, api: Api, links: Http, clock: Clock) -> None:
        self._archive, self._api, self._links = archive, api, links
        self._lock = threading.Lock()
        self._sizes: TTLCache[tuple[str, str], tuple[int, str]] = TTLCache(20_000, 600.0, clock.monotonic)

    def organisations(self) -> Listing[Group]:
        """All of them, by name."""
        found: list[Group] = []
        while True:
            page = self._api.read("organization_list", limit=PAGE, offset=len(found))
            if not isinstance(page, list):
                raise BadAnswer("organization_list: a list was expected")
            found += [Group(str(name)) for name in page]
            if len(page) < PAGE:
                return Listing(tuple(found))

    def organisation(self, name: str) -> Group:
        """One; NotFound."""
        if not rows.NAME(name):
            raise NotFound(f"no organisation is called {name!r}")
        found = self._api.read(
            "organization_show", id=name, include_datasets=False, include_users=False, include_groups=False,
            include_dataset_count=False, include_extras=False, include_tags=False, include_followers=False,
        )  # fmt: skip
        return Group(str(found.get("name") or name))

    def packages(self, where: Where, limit: int) -> Listing[Container]:
        """Those that match, the last changed first. Only the first page is asked for where there are too many."""
        unknown = sorted(set(where) - {"organisation"})
        if unknown:
            raise NotFound(f"{self._archive} does not list packages by {unknown[0]}")
        query: dict[str, object] = {"include_private": True, "sort": _SORT, "facet": False}
        if name := where.get("organisation"):
            if not rows.NAME(name):
                raise NotFound(f"no organisation is called {name!r}")
            query["fq"] = f'organization:"{name}"'
        found: list[Container] = []
        seen: set[str] = set()
        start = 0
        while True:
            answer = self._api.read("package_search", rows=min(limit, PAGE), start=start, **query)
            count, page = self._page(answer)
            start += len(page)
            for package in page:
                one = rows.container(self._archive, package)
                if one.id not in seen:
                    seen.add(one.id)
                    found.append(one)
            if count > limit or not page or start >= count:
                break
        if not found and where:
            self.organisation(where["organisation"])
        return Listing(tuple(found[:limit]), complete=count <= limit)

    def package(self, name: str, where: Where | None = None) -> Container:
        """One by its name or id, if it matches; NotFound."""
        found = self.show(name)
        wanted = (where or {}).get("organisation")
        if wanted and wanted != rows.organisation(found):
            raise NotFound(f"the package {name} is not one of {wanted}")
        return rows.container(self._archive, found)

    def show(self, name: str) -> Mapping[str, Any]:
        """CKAN's own dictionary of a package; NotFound."""
        if not rows.NAME(name):
            raise NotFound(f"no package is called {name!r}")
        found = self._api.read("package_show", id=name)
        if not isinstance(found, dict) or not found.get("id"):
            raise BadAnswer(f"package_show of {name}: an object with an id was expected")
        if found.get("state", "active") != "active":
            raise NotFound(f"the package {name} was deleted")
        return found

    def files(self, package: str) -> Sequence[FileRef]:
        """The resources as files, and what the DataStore has of them. One request, and one for each new link."""
        found = self.show(package)
        listed = rows.resources(found)
        links = [one for one in listed if rows.is_link(one)]
        sizes = dict(zip((str(one["id"]) for one in links), self._measured(links), strict=True))
        refs: list[FileRef] = []
        for one in listed:
            if one.get("url_type") != rows.TABLE_ONLY:
                size, pin = sizes.get(str(one["id"]), (_size(one), ""))
                refs.append(rows.file(self._archive, package, one, size, pin))
            refs.extend(rows.tables(self._archive, package, one))
        return refs

    def _measured(self, links: Sequence[Mapping[str, Any]]) -> list[tuple[int, str]]:
        if not links:
            return []
        with ThreadPoolExecutor(min(8, len(links)), "ckan-links") as pool:
            return list(pool.map(self._measure, links))

    def _measure(self, resource: Mapping[str, Any]) -> tuple[int, str]:
        """Size and ETag of a link, by HEAD; UNKNOWN where its server does not say."""
        key = (str(resource["url"]), rows.validator(resource))
        with self._lock:
            if key in self._sizes:
                return self._sizes[key]
        found = (UNKNOWN, "")
        if key[0].startswith(("http://", "https://")):
            try:
                answer = self._links.request("HEAD", key[0], headers=PLAIN, timeouts=HEADS, repeat=False)
                length = answer.headers.get("content-length", "")
                tag = answer.headers.get("etag", "")
                encoded = answer.headers.get("content-encoding", "identity") not in ("", "identity")
                if length.isdecimal() and not encoded:
                    found = int(length), "" if tag.startswith("W/") else tag
            except PacificaFSError:
                pass  # its server is not the archive: the file is there, and says what is wrong when it is read
        with self._lock:
            self._sizes[key] = found
        return found

    @staticmethod
    def _page(answer: Any) -> tuple[int, list[Mapping[str, Any]]]:
        try:
            return int(answer["count"]), list(answer["results"])
        except (KeyError, TypeError, ValueError) as error:
            raise BadAnswer(f"package_search: not what was expected: {error!r}") from error


def _size(resource: Mapping[str, Any]) -> int:
    size = resource.get("size")
    return size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else UNKNOWN
