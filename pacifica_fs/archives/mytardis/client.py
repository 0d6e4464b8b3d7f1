"""MyTardis' REST API: pages, records, directories; and whether it knows us. Asks as little as it can.

Times, names and rights are others' business. All methods may be called from any thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...clock import Clock
from ...errors import BadAnswer, Denied, PacificaFSError
from ...transport.failures import Answer
from ...transport.http import Http
from .logins import Session
from .options import Options

PAGE = 1000  # more than that is not given, whatever is asked for
SET = 100
CHECKED = 300.0  # seconds after which it is asked anew whether we are still signed in
Row = Mapping[str, Any]


class Client:
    """One site."""

    def __init__(self, http: Http, options: Options, clock: Clock, session: Session | None = None) -> None:
        self.http = http
        self._options = options
        self._clock = clock
        self._session = session
        self._known_until = float("-inf")

    def rows(self, resource: str, **where: str) -> Iterator[Row]:
        """All rows that match, each once.

        For whoever is not a superuser, a file comes once for each experiment by which it is seen; and only the order
        by id is the same in all pages.
        """
        self.signed_in()
        seen: set[int] = set()
        offset = 0
        while True:
            page = self._page(resource, {"order_by": "id", "limit": PAGE, "offset": offset, **where})
            found = page["objects"]
            for row in found:
                id = number(row.get("id"))
                if id not in seen:
                    seen.add(id)
                    yield row
            # The server's own limit may be smaller than ours; its `next` is a path that some sites get wrong.
            offset += len(found)
            if not found or not page["meta"].get("next"):
                return

    def newest(self, resource: str, limit: int) -> list[Row]:
        """The rows with the highest ids, at most `limit`."""
        self.signed_in()
        found: dict[int, Row] = {}
        offset = 0
        while len(found) < limit:
            size = min(PAGE, limit - len(found))
            page = self._page(resource, {"order_by": "-id", "limit": size, "offset": offset})
            for row in page["objects"]:
                found.setdefault(number(row.get("id")), row)
            offset += len(page["objects"])
            if not page["objects"] or not page["meta"].get("next"):
                break
        return list(found.values())

    def row(self, resource: str, id: str) -> Row:
        """One record. NotFound; Denied for one that exists but is not for us."""
        self.signed_in()
        row = self.http.json("GET", f"/api/v1/{resource}/{id}/", params={"format": "json"}, absent=True)
        if not isinstance(row, dict):
            raise BadAnswer(f"{self.http.base}: {resource} {id} is not an object")
        return row

    def some(self, resource: str, ids: Sequence[str]) -> list[Row]:
        """Those of `ids` that there are, in few requests."""
        found: list[Row] = []
        for start in range(0, len(ids), SET):
            path = f"/api/v1/{resource}/set/{';'.join(ids[start : start + SET])}/"
            answer = self.http.json("GET", path, params={"format": "json"})
            found += self._objects(answer, path)
        return found

    def nodes(self, dataset: str, directory: str) -> Iterator[Row]:
        """The folders (`path`) and files (`id`) of one directory of a data set; the empty one is the top."""
        if directory:
            path = f"/api/v1/dataset/{dataset}/child-dir-nodes/"
            yield from self._nodes(path, {"dir_path": directory})
            return
        page = 0
        while True:
            more = None
            for node in self._nodes(f"/api/v1/dataset/{dataset}/root-dir-nodes/", {"page": page}):
                if "next_page" in node:
                    more = node.get("next_page_num") if node["next_page"] else None
                else:
                    yield node
            if more is None:
                return
            page = int(more)

    def apps(self) -> frozenset[str]:
        """The names of all resources; whether it is a MyTardis at all."""
        answer = self.http.json("GET", "/api/v1/", params={"format": "json"})
        if not isinstance(answer, dict) or "dataset_file" not in answer:
            raise BadAnswer(f"{self.http.base}/api/v1/ is not the API of a MyTardis: is url right?")
        return frozenset(answer)

    def signed_in(self) -> None:
        """Denied if the site does not know us as who we want to be: it would show the public's part without a word."""
        if self._clock.monotonic() < self._known_until:
            return
        self.who()

    def who(self) -> str:
        """As whom the site knows us; Denied as `signed_in`."""
        # Without a lock: several may ask at once, and nobody waits for another's time-out.
        name = self._who()
        self._known_until = self._clock.monotonic() + CHECKED
        return name

    def _who(self) -> str:
        way, username = self._options.way, self._options.username
        if way == "public":
            return "public"
        if way == "token":
            return self._shared()
        if self._user(username):
            return username
        if self._session is not None:
            self._session.forget()
            if self._user(username):
                return username
        raise Denied(f"{self.http.base} does not know us as '{username}', and would show only what is public")

    def _user(self, username: str) -> bool:
        try:
            found = self._page("user", {"username": username, "limit": 1})["objects"]
        except Denied as refused:
            if self._options.way == "session":
                return False
            raise Denied(f"{self.http.base}: the credentials of '{username}' are wrong: {refused}") from refused
        return any(row.get("username") == username for row in found)

    def _shared(self) -> str:
        """With a token that has expired all would look as to the public."""
        shown = self._page("experiment", {"limit": 1})["meta"].get("total_count", 0)
        public = Http(self.http.base, clock=self._clock, verify=self._options.verify, timeouts=self.http.timeouts)
        try:
            answer = public.json("GET", "/api/v1/experiment/", params={"format": "json", "limit": 1})
        finally:
            public.close()
        if shown <= answer["meta"].get("total_count", 0):
            raise Denied(f"{self.http.base}: the share token opens nothing that is not public: it may have expired")
        return "whoever has the share link"

    def _page(self, resource: str, params: Mapping[str, Any]) -> dict[str, Any]:
        path = f"/api/v1/{resource}/"
        page = self.http.json("GET", path, params={"format": "json", **params})
        self._objects(page, path)
        if not isinstance(page.get("meta"), dict):
            raise BadAnswer(f"{self.http.base}{path}: a list without its meta")
        return dict(page)

    def _objects(self, answer: Any, path: str) -> list[Row]:
        objects = answer.get("objects") if isinstance(answer, dict) else None
        if not isinstance(objects, list) or not all(isinstance(row, dict) for row in objects):
            raise BadAnswer(f"{self.http.base}{path}: a list of objects was expected")
        return objects

    def _nodes(self, path: str, params: Mapping[str, Any]) -> list[Row]:
        answer = self.http.json("GET", path, params={"format": "json", **params}, absent=True)
        if not isinstance(answer, list) or not all(isinstance(node, dict) for node in answer):
            raise BadAnswer(f"{self.http.base}{path}: a list was expected")
        return answer


def judge(answer: Answer) -> PacificaFSError | None:
    """What an unexpected answer of the API means; the refusals of a real one have no body."""
    if answer.status == 401:
        return Denied(f"{answer.url}: refused: wrong credentials, or not for this identity")
    if answer.status == 403 and not answer.html:
        return Denied(f"{answer.url}: not for this identity")
    return None


def number(value: Any) -> int:
    """An id; BadAnswer."""
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise BadAnswer(f"not an id: {value!r}") from error


def id_of(uri: Any) -> str:
    """The id at the end of `/api/v1/dataset/5/`; empty where there is none."""
    match = re.search(r"/(\d+)/?$", str(uri))
    return match[1] if match else ""
