"""The policy service: listings for those who may not reach the metadata service, and what a user may upload."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...errors import BadAnswer, NotFound
from ...model import Container, Listing
from ...transport.http import Http
from . import rows
from .catalogue import Candidate, Transaction, listing, query
from .services import message, unwrapped

PAGE = 200
_REFUSED = re.compile(r"Invalid values for ([a-z_, ]+?)(?: \((.*)\) not in user instrument list.*)?$")


class Policy:
    """One site's policy service. Safe for any thread."""

    def __init__(self, http: Http, archive: str) -> None:
        self.http = http
        self._archive = archive

    def newest(self, where: Mapping[str, str], limit: int) -> Listing[Container]:
        """See Catalogue. Pages of up to 200; the service counts files for each transaction (3 ms each)."""
        found: dict[str, Container] = {}
        for page in self._search(query(where), min(PAGE, max(limit, 1))):
            for entry in page["transactions"].values():
                container = rows.container(self._archive, entry["metadata"])
                found[container.id] = container
            # The total is the server's own; new ones that push a page's entries to the next one are only seen twice.
            if len(found) >= limit:
                return listing(found, limit, int(page.get("total_count") or 0) > len(found))
        return listing(found, limit, False)

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
        """Transactions of `submitter` in `project` that changed since `since` (naive ISO, UTC; empty: ever)."""
        where = {"submitter": str(submitter), "project": project} | ({"start": since} if since else {})
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

    def _search(self, where: Mapping[str, str], size: int) -> Iterator[dict[str, Any]]:
        """Pages of a search. Without a page number the service would answer with everything."""
        number = 1
        while True:
            page = self._get("/status/transactions/search/list", {**where, "item_count": size, "page": number})
            found = page.get("transactions")
            if not isinstance(found, dict):
                raise BadAnswer(f"{self.http.base}: a search without transactions")
            yield page
            if len(found) < size:
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
