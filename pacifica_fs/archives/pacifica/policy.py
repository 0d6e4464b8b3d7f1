"""The policy service: listings for those who may not reach the metadata service, and what a user may upload."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ...errors import BadAnswer, NotFound
from ...model import Container, Group, Listing
from ...transport.http import Http
from . import rows
from .catalogue import Candidate, Transaction, listing
from .selection import selection
from .services import message, unwrapped
from .template import Query

PAGE = 1000
MOST = 10_000
"""Transactions that are looked through for a date, at 2 ms each on the server."""
FEW = 16
"""A user's projects whose instruments are asked for."""
_DATES = ["accepted_date", "actual_start_date", "actual_end_date", "closed_date"]
_COLUMNS: Mapping[str, tuple[str, list[str]]] = {
    "project": ("projects", ["_id", "title", "short_name", "project_type", "updated", *_DATES]),
    "instrument": ("instruments", ["_id", "name", "name_short", "display_name", "active", "updated"]),
    "user": ("users", ["_id", "network_id", "first_name", "middle_initial", "last_name", "updated"]),
}
_MADE: Mapping[str, Callable[[Mapping[str, Any]], Group]] = {
    "project": rows.project,
    "instrument": rows.instrument,
    "user": rows.user,
}
_PARAMETERS = {"project": "project", "instrument": "instrument", "submitter": "submitter", "_id": "transaction_id"}
_REFUSED = re.compile(r"Invalid values for ([a-z_, ]+?)(?: \((.*)\) not in user instrument list.*)?$")


class Policy:
    """One site's policy service, asked for the user with this login name. Safe for any thread."""

    def __init__(self, http: Http, archive: str, login: str) -> None:
        self.http = http
        self._archive = archive
        self._login = login
        self._number: int | None = None

    def newest(self, where: Mapping[str, str], limit: int) -> Listing[Container]:
        """See Catalogue. Pages of up to 1000; the service counts files for each transaction (2 ms each).

        It has the time of the last change only, which is never before that of the upload: all that changed since are
        asked for, and those taken that were uploaded then, if they are not too many.
        """
        chosen = selection(where)
        if not chosen.in_rows:
            raise NotFound("key and release are only known to the metadata service, which is not configured")
        fields = {_PARAMETERS[field]: value for field, value in chosen.fields.items()}
        if "submitter" in fields and not fields["submitter"].isdecimal():
            fields["submitter"] = str(self.user_id(fields["submitter"]))
        if chosen.span.begin is not None:
            fields["start"] = chosen.span.begin.isoformat()
        found: dict[str, Container] = {}
        seen = 0
        for page in self._search(fields, min(PAGE, max(limit, 1))):
            for entry in page["transactions"].values():
                seen += 1
                when = rows.time(entry["metadata"]) if chosen.span.bounded else None
                if when is None or when in chosen.span:
                    container = rows.container(self._archive, entry["metadata"])
                    found[container.id] = container
            # The total is the server's own; new ones that push a page's entries to the next one are only seen twice.
            if len(found) >= limit or (chosen.span.bounded and seen >= MOST):
                return listing(found, limit, int(page.get("total_count") or 0) > seen)
        if not found:
            for dimension in ("project", "instrument"):
                if dimension in where:
                    self.group(dimension, {}, where[dimension])
        return listing(found, limit, False)

    def groups(self, dimension: str, where: Mapping[str, str]) -> Listing[Group]:
        """See Catalogue. What this user may upload to; an administrator's are all. Of users it lists this one only.

        Instruments are those of which the user is custodian, and those of the user's projects, if these are few:
        policy is asked once for each project.
        """
        if dimension not in _COLUMNS or where:
            raise NotFound(f"policy does not group transactions by {dimension}")
        what, columns = _COLUMNS[dimension]
        found = self._uploader(self._me(), what, columns, {})
        if dimension == "instrument":
            found = self._of_projects(found)
        remark = (
            f"These are the {what} that the site's policy service lists for {self._login}.\n"
            f"Each other can be opened by its name all the same.\n"
            f"With metadata = … in the configuration all are listed."
        )
        return Listing(tuple(_MADE[dimension](row) for row in found), True, remark)

    def _of_projects(self, found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Instruments that were found, and those of this user's projects, by number."""
        every = {row.get("_id"): row for row in found}
        projects = self._uploader(self._me(), "projects", ["_id"], {})
        for project in projects if len(projects) <= FEW else ():
            rows_of_it = self._uploader(self._me(), *_COLUMNS["instrument"], {"project_id": project["_id"]})
            every |= {row.get("_id"): row for row in rows_of_it}
        return sorted(every.values(), key=lambda row: str(row.get("_id")))

    def group(self, dimension: str, where: Mapping[str, str], name: str) -> Group:
        """See Catalogue."""
        if dimension == "user":
            number = int(name) if rows.is_id(name) else self.user_id(name)
            found = self._uploader(number, *_COLUMNS["user"], {})
        elif dimension == "project" or (dimension == "instrument" and rows.is_id(name)):
            found = self._uploader(-1, *_COLUMNS[dimension], {"_id": name})
        else:
            found = []
        if not found:
            raise NotFound(f"the site knows no {dimension} {name!r}")
        return _MADE[dimension](found[0])

    def version(self) -> str:
        """See Catalogue. The number of transactions, and the newest; keys and releases are not seen."""
        page = next(self._search({}, 1))
        return f"{page.get('total_count')} {' '.join(page['transactions'])}"

    def transaction(self, id: str) -> Transaction:
        """See Catalogue. A key with several values shows only one of them here."""
        row = self._get(f"/status/transactions/by_id/{id}")
        keys = row.get("key_values") or {}
        return Transaction(row, tuple((str(key), str(value)) for key, value in keys.items()))

    def files(self, id: str) -> Sequence[Mapping[str, Any]]:
        """See Catalogue. The service answers the same for no files and for no such transaction."""
        found = self._get(f"/status/transactions/files/{id}")
        if not found:
            self._get(f"/status/transactions/by_id/{id}")
        return tuple(found.values())

    def candidates(self, submitter: int, project: str, since: str) -> Iterator[Candidate]:
        """Those of `submitter` in `project` (empty: any) that changed since `since` (naive ISO, UTC; empty: ever)."""
        given = {"submitter": str(submitter), "project": project, "start": since}
        where = {name: value for name, value in given.items() if value}
        for page in self._search(where, PAGE):
            for entry in page["transactions"].values():
                yield Candidate(
                    str(entry["metadata"]["transaction_id"]), entry["file_count"], dict(entry.get("kv_pairs") or {})
                )

    def user_id(self, login: str) -> int:
        """The number of the user with this login name; NotFound."""
        found = self._uploader(-1, "users", ["_id"], {"network_id": login})
        if not found:
            raise NotFound(f"the site knows no user '{login}'")
        return int(found[0]["_id"])

    def user_name(self, id: int) -> str:
        """A user's first and last name; NotFound."""
        found = self._uploader(id, "users", ["first_name", "last_name"], {})
        if not found:
            raise NotFound(f"the site knows no user {id}")
        return " ".join(filter(None, (found[0].get("first_name"), found[0].get("last_name"))))

    def refusal(self, entries: Sequence[Mapping[str, Any]]) -> tuple[str, ...] | None:
        """What policy says against an upload with these metadata entries; None: nothing.

        The answer names what is not known (`("project",)`), or `("right",)` where all exist but this submitter may not.
        """
        answer = self.http.request("POST", "/ingest", json=list(entries), expect=(200, 412), repeat=True)
        return None if answer.status == 200 else refused(message(answer))

    def offered(self, user: int, query: Query) -> Sequence[dict[str, Any]]:
        """The rows that `user` may choose from."""
        return self._uploader(user, query.table, list(query.columns), dict(query.where))

    def _me(self) -> int:
        """The number of this user."""
        if self._number is None:
            self._number = int(self._login) if rows.is_id(self._login) else self.user_id(self._login)
        return self._number

    def _search(self, where: Mapping[str, str], size: int) -> Iterator[dict[str, Any]]:
        """Pages of a search. Without a page number the service would answer with everything."""
        number = 1
        while True:
            page = self._get("/status/transactions/search/list", {**where, "item_count": size, "page": number})
            found = page.get("transactions")
            if not isinstance(found, dict):
                raise BadAnswer(f"{self.http.base}: a search without transactions")
            yield page
            if len(found) < size or number * size >= int(page.get("total_count") or number * size + 1):
                return
            number += 1

    def _get(self, path: str, params: Mapping[str, str | int] | None = None) -> dict[str, Any]:
        answer = unwrapped(self.http.json("GET", path, params=params), self.http.base + path)
        if not isinstance(answer, dict):
            raise BadAnswer(f"{self.http.base}{path}: an object was expected")
        return answer

    def _uploader(self, user: int, what: str, columns: list[str], where: Mapping[str, str]) -> list[dict[str, Any]]:
        body = {"user": user, "from": what, "columns": columns, "where": where}
        answer = unwrapped(self.http.json("POST", "/uploader", json=body, repeat=True), self.http.base + "/uploader")
        if not isinstance(answer, list):
            raise BadAnswer(f"{self.http.base}/uploader: a list was expected")
        return answer


def refused(said: str) -> tuple[str, ...]:
    """Policy's sentence as the fields that it does not know, `("right",)`, or the sentence itself."""
    match = _REFUSED.search(said)
    if not match:
        return (said,)
    return ("right",) if match[2] is not None else tuple(field.strip() for field in match[1].split(","))
