"""The metadata service: the same listings as policy's, cheaper and exact, where a site lets its users reach it.

Its tables are asked with equalities and a range of times; unknown parameters are ignored silently, so every parameter
here is one that was tried. Rows come in the order of ids. Without recursion_depth=0 it makes queries for each row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import BadAnswer, NotFound
from ...model import Container, Group, Listing
from ...transport.http import Http
from . import groups, rows
from .catalogue import Transaction, listing
from .selection import Selection, selection
from .services import unwrapped

PAGE = 1000
WHOLE = 10_001
"""Rows that one answer may bring; beyond it listings are read from the last page backwards."""
_VERSION = ("transsip", "trans_key_value", "transaction_user")


class Metadata:
    """One site's metadata service. Safe for any thread."""

    def __init__(self, http: Http, archive: str) -> None:
        self.http = http
        self._archive = archive

    def newest(self, where: Mapping[str, str], limit: int) -> Listing[Container]:
        """See Catalogue. One request for up to 10,000; key and release are tables of their own, asked once each."""
        chosen = selection(where)
        found: dict[str, Container] = {}
        if not chosen.in_rows:
            return self._linked(chosen, limit)
        fields = self._fields(chosen)
        if "_id" in fields:  # one at the most: nothing to count first
            one = [rows.container(self._archive, row) for row in self.rows("/transsip", fields)]
            self._exists(where, one)
            return listing({each.id: each for each in one}, limit, False)
        if limit >= PAGE:
            size = min(limit + 1, WHOLE)
            page = self.rows("/transsip", {**fields, "page_number": 1, "items_per_page": size})
            if len(page) < size:
                self._exists(where, page)
                for row in page:
                    container = rows.container(self._archive, row)
                    found[container.id] = container
                return listing(found, limit, False)
        size = min(PAGE, max(limit, 1))
        count = self._count("transsip", fields)
        for number in range(count // size + 1, 0, -1):  # what was added since it was counted is in the last one
            page = self.rows("/transsip", {**fields, "page_number": number, "items_per_page": size})
            for row in page:
                container = rows.container(self._archive, row)
                found[container.id] = container
            if len(found) >= limit:
                return listing(found, limit, count > len(found))
        self._exists(where, found)
        return listing(found, limit, False)

    def transaction(self, id: str) -> Transaction:
        """See Catalogue."""
        row = self._get(f"/transactioninfo/by_id/{id}", absent=True)
        links = self.rows("/trans_key_value", {"transaction": id})
        keys = row.get("key_values") or {}
        pairs = tuple((str(key), str(value)) for key, value in keys.items())
        if len(links) != len(pairs):  # a key with several values, of which the detailed row shows one
            pairs = tuple(self._pair(link) for link in links)
        release = self._get(f"/transactioninfo/release_state/{id}").get(id) or {}
        return Transaction(row, pairs, release)

    def files(self, id: str) -> Sequence[Mapping[str, Any]]:
        """See Catalogue. Without recursion_depth=0 the service makes one query for each file."""
        found = self.rows("/files", {"transaction_id": id})
        if not found and not self.rows("/transsip", {"_id": id}):
            raise NotFound(f"the site has no transaction {id}")
        return found

    def groups(self, dimension: str, where: Mapping[str, str]) -> Listing[Group]:
        """See Catalogue."""
        return groups.listed(self, dimension, where)

    def group(self, dimension: str, where: Mapping[str, str], name: str) -> Group:
        """See Catalogue."""
        return groups.named(self, dimension, where, name)

    def version(self) -> str:
        """See Catalogue. Numbers of rows and times of the last change of three tables."""
        found = [self._get(f"/objectinfo/{table}") for table in _VERSION]
        return " ".join(f"{each.get('record_count')}/{each.get('last_changed_date')}" for each in found)

    def with_pair(self, key: str, value: str) -> tuple[str, ...]:
        """Ids of the transactions that have this key with this value."""
        return tuple(dict.fromkeys(str(link["transaction"]) for link in self._links((key, value), 0)))

    def rows(self, path: str, params: Mapping[str, str | int]) -> list[dict[str, Any]]:
        """A table's rows; all of them, unless the parameters name a page."""
        answer = unwrapped(self.http.json("GET", path, params={**params, "recursion_depth": 0}), self.http.base + path)
        if not isinstance(answer, list):
            raise BadAnswer(f"{self.http.base}{path}: a list was expected")
        return answer

    def whole(self, path: str, params: Mapping[str, str | int] | None = None) -> tuple[list[dict[str, Any]], bool]:
        """A table's rows, and whether they are all: at most 10,000 are asked for."""
        found = self.rows(path, {**(params or {}), "page_number": 1, "items_per_page": WHOLE})
        return found[: WHOLE - 1], len(found) < WHOLE

    def object(self, path: str) -> dict[str, Any]:
        """An answer that is an object."""
        return self._get(path)

    def user_id(self, name: str) -> str:
        """A user's number, by login name or number; NotFound."""
        found = self.rows("/users", {"network_id": name})
        if not found and rows.is_id(name):
            found = self.rows("/users", {"_id": name})
        if not found:
            raise NotFound(f"the site knows no user {name!r}")
        return str(found[0]["_id"])

    def _fields(self, chosen: Selection) -> dict[str, str | int]:
        """The parameters of a query for rows of `transsip`."""
        fields: dict[str, str | int] = dict(chosen.fields)
        if "submitter" in fields:
            fields["submitter"] = self.user_id(str(fields["submitter"]))
        begin, end = chosen.span.begin, chosen.span.end
        if begin is not None and end is not None:
            fields |= groups.between(chosen.span)
        elif begin is not None:
            fields |= {"created": begin.isoformat(), "created_operator": "gte"}
        elif end is not None:
            fields |= {"created": end.isoformat(), "created_operator": "lt"}
        return fields

    def _linked(self, chosen: Selection, limit: int) -> Listing[Container]:
        """Transactions with a key, a key and value, or a release, as far as 10,000 of those are enough to tell.

        The links have no time of the transaction. Where nothing else is asked for, that of the link, which ingest
        makes in the same second, stands for it; a release has another time, so there it is left unknown.
        """
        found: dict[str, Container] = {}
        complete = True
        if chosen.pair is not None:
            links = self._links(chosen.pair, WHOLE)
            complete = len(links) < WHOLE
            for link in links:
                id = str(link["transaction"])
                found[id] = Container(self._archive, id, rows.nanoseconds(link.get("created")))
        if chosen.released:
            links, all_of_them = self.whole("/transaction_user")
            complete = complete and all_of_them
            released = {str(link["transaction"]) for link in links}
            found = (
                {id: Container(self._archive, id) for id in released}
                if chosen.pair is None
                else {id: container for id, container in found.items() if id in released}
            )
        if chosen.fields or chosen.span.bounded:
            page, all_of_them = self.whole("/transsip", self._fields(chosen))
            complete = complete and all_of_them
            others = [rows.container(self._archive, row) for row in page]
            found = {container.id: container for container in others if container.id in found}
        return listing(found, limit, not complete)

    def _links(self, pair: tuple[str, str | None], size: int) -> list[dict[str, Any]]:
        """Rows that link transactions with a key (and value), at most `size` (0: all). NotFound if there are none."""
        page: dict[str, str | int] = {"page_number": 1, "items_per_page": size} if size else {}
        keys = self.rows("/keys", {"key": pair[0]})
        values: list[dict[str, Any]] = [{}]
        if pair[1] is not None:
            values = self.rows("/values", {"value": pair[1]}) if keys else []
        queries: list[dict[str, str | int]] = [
            {"key": key["_id"], **({"value": value["_id"]} if value else {})} for key in keys for value in values
        ]
        if size and not queries:
            raise NotFound(f"no transaction has the key {pair[0]!r}" + (f" = {pair[1]!r}" if pair[1] else ""))
        return [link for query in queries for link in self.rows("/trans_key_value", {**query, **page})]

    def _exists(self, where: Mapping[str, str], found: Sequence[Any] | Mapping[str, Any]) -> None:
        """NotFound where nothing was found because a value of `where` does not exist."""
        for dimension in ("project", "instrument") if not found else ():
            if dimension in where:
                groups.named(self, dimension, {}, where[dimension])

    def _count(self, table: str, fields: Mapping[str, str | int]) -> int:
        return int(self._get(f"/objectinfo/{table}", fields).get("record_count") or 0)

    def _pair(self, link: Mapping[str, Any]) -> tuple[str, str]:
        key = self.rows("/keys", {"_id": link["key"]})
        value = self.rows("/values", {"_id": link["value"]})
        if not key or not value:
            raise BadAnswer(f"{self.http.base}: a key or value of transaction {link.get('transaction')} is missing")
        return str(key[0]["key"]), str(value[0]["value"])

    def _get(self, path: str, params: Mapping[str, str | int] | None = None, absent: bool = False) -> dict[str, Any]:
        answer = unwrapped(self.http.json("GET", path, params=params, absent=absent), self.http.base + path)
        if not isinstance(answer, dict):
            raise BadAnswer(f"{self.http.base}{path}: an object was expected")
        return answer
