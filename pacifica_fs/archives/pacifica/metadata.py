"""The metadata service: the same listings as policy's, cheaper and exact, where a site lets its users reach it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...errors import BadAnswer, NotFound
from ...model import Container, Listing
from ...transport.http import Http
from . import rows
from .catalogue import Transaction, listing, query
from .services import unwrapped

PAGE = 1000


class Metadata:
    """One site's metadata service. Safe for any thread."""

    def __init__(self, http: Http, archive: str) -> None:
        self.http = http
        self._archive = archive

    def newest(self, where: Mapping[str, str], limit: int) -> Listing[Container]:
        """See Catalogue. Rows come in the order of ids, so pages are read from the last one backwards."""
        fields = query(where)
        size = min(PAGE, max(limit, 1))
        count = int(self._get("/objectinfo/transsip", fields).get("record_count") or 0)
        found: dict[str, Container] = {}
        for number in self._pages(count, size):
            page = self._rows("/transsip", {**fields, "page_number": number, "items_per_page": size})
            for row in page:
                container = rows.container(self._archive, row)
                found[container.id] = container
            if len(found) >= limit:
                return listing(found, limit, count > len(found))
        return listing(found, limit, False)

    def transaction(self, id: str) -> Transaction:
        """See Catalogue."""
        row = self._get(f"/transactioninfo/by_id/{id}", absent=True)
        links = self._rows("/trans_key_value", {"transaction": id})
        keys = row.get("key_values") or {}
        pairs = tuple((str(key), str(value)) for key, value in keys.items())
        if len(links) != len(pairs):  # a key with several values, of which the detailed row shows one
            pairs = tuple(self._pair(link) for link in links)
        release = self._get(f"/transactioninfo/release_state/{id}").get(id) or {}
        return Transaction(row, pairs, release)

    def files(self, id: str) -> Sequence[Mapping[str, Any]]:
        """See Catalogue. Without recursion_depth=0 the service makes one query for each file."""
        found = self._rows("/files", {"transaction_id": id})
        if not found and not self._rows("/transsip", {"_id": id}):
            raise NotFound(f"the site has no transaction {id}")
        return found

    def with_pair(self, key: str, value: str) -> tuple[str, ...]:
        """Ids of the transactions that have this key with this value."""
        keys = self._rows("/keys", {"key": key})
        values = self._rows("/values", {"value": value}) if keys else []
        return tuple(
            str(link["transaction"])
            for a in keys
            for b in values
            for link in self._rows("/trans_key_value", {"key": a["_id"], "value": b["_id"]})
        )

    def _pages(self, count: int, size: int) -> Iterator[int]:
        """Numbers of pages from the last one backwards; what was added since it was counted is in the one after."""
        yield from range(count // size + 1, 0, -1)

    def _pair(self, link: Mapping[str, Any]) -> tuple[str, str]:
        key = self._rows("/keys", {"_id": link["key"]})
        value = self._rows("/values", {"_id": link["value"]})
        if not key or not value:
            raise BadAnswer(f"{self.http.base}: a key or value of transaction {link.get('transaction')} is missing")
        return str(key[0]["key"]), str(value[0]["value"])

    def _rows(self, path: str, params: Mapping[str, str | int]) -> list[dict[str, Any]]:
        answer = unwrapped(self.http.json("GET", path, params={**params, "recursion_depth": 0}), self.http.base + path)
        if not isinstance(answer, list):
            raise BadAnswer(f"{self.http.base}{path}: a list was expected")
        return answer

    def _get(self, path: str, params: Mapping[str, str | int] | None = None, absent: bool = False) -> dict[str, Any]:
        answer = unwrapped(self.http.json("GET", path, params=params, absent=absent), self.http.base + path)
        if not isinstance(answer, dict):
            raise BadAnswer(f"{self.http.base}{path}: an object was expected")
        return answer
