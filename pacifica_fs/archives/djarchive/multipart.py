"""Uploads in parts that outlast this program: what the server has of one is not sent again. obstore has no such calls.

Threading: any thread; every method blocks, for at most the configured time-outs.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from pathlib import Path

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from ...clock import Clock
from ...errors import BadAnswer
from ...transport.credentials import Anonymous
from ...transport.http import Http, Timeouts
from .signing import Signature, quoted
from .store import Keys, Place

_FIELD = "<{0}>([^<]*)</{0}>"
_PART = re.compile(r"<Part>(.*?)</Part>", re.DOTALL)
_PAGES = 20
"""Of a thousand parts each; there are at most 10,000."""


class Multipart:
    """The uploads in parts of one bucket, as one identity."""

    def __init__(self, place: Place, keys: Keys, clock: Clock, state: Path) -> None:
        """`state` is a folder for the certificates that are trusted."""
        login = Anonymous(auth=Signature(keys.access, keys.secret, place.region, clock.now) if keys.access else None)
        self._http = Http(
            f"{place.endpoint}/{place.bucket}",
            clock=clock,
            login=login,
            verify=_trusted(place.ca, state),
            timeouts=Timeouts(place.connect, place.read),
            agent=place.agent,
        )

    def begin(self, key: str) -> str:
        """A new upload's id."""
        answer = self._ask("POST", key, {"uploads": ""}, headers={"Content-Type": "application/octet-stream"})
        return _field("UploadId", answer)

    def parts(self, key: str, upload: str) -> dict[int, tuple[str, int]]:
        """ETag and size of each part that the server has, by its number. NotFound if it does not know the upload."""
        found: dict[int, tuple[str, int]] = {}
        for _ in range(_PAGES):
            marker = str(max(found, default=0))
            answer = self._ask("GET", key, {"max-parts": "1000", "part-number-marker": marker, "uploadId": upload})
            page = {
                int(_field("PartNumber", part)): (_field("ETag", part), int(_field("Size", part)))
                for part in _PART.findall(answer)
            }
            if not page.keys() - found.keys():
                break
            found |= page
            if "<IsTruncated>true<" not in answer:
                break
        return found

    def put(self, key: str, upload: str, number: int, data: bytes) -> str:
        """Send a part, numbers begin with 1; its ETag."""
        query = {"partNumber": str(number), "uploadId": upload}
        path = self._path(key, query)
        answer = self._http.request("PUT", path, data=data, absent=True, repeat=True)
        etag = answer.headers.get("etag", "")
        if not etag:
            raise BadAnswer(f"{answer.url}: the server took a part and gave it no ETag")
        return etag

    def complete(self, key: str, upload: str, etags: Mapping[int, str]) -> str:
        """Make the parts one object; its ETag."""
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{html.escape(etag)}</ETag></Part>"
            for number, etag in sorted(etags.items())
        )
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        return _field("ETag", self._ask("POST", key, {"uploadId": upload}, body))

    def abort(self, key: str, upload: str) -> None:
        """Forget the upload and its parts."""
        self._http.request("DELETE", self._path(key, {"uploadId": upload}), expect=(200, 204), absent=True)

    def close(self) -> None:
        """Give back the connections."""
        self._http.close()

    def _ask(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> str:
        answer = self._http.request(method, self._path(key, query), data=body, headers=headers, absent=True)
        text = answer.body.decode("utf-8", "replace")
        if "<Error>" in text:  # a 200 may turn out to be none while it is made
            raise BadAnswer(f"{answer.url}: {re.sub('<[^>]*>', ' ', text)[:200]}")
        return text

    def _path(self, key: str, query: Mapping[str, str]) -> str:
        return f"{quoted(key, '/')}?" + "&".join(f"{name}={quoted(value)}" for name, value in sorted(query.items()))


def _field(name: str, text: str) -> str:
    found = re.search(_FIELD.format(name), text)
    if found is None:
        raise BadAnswer(f"the server's answer has no {name}: {text[:200]!r}")
    return html.unescape(found[1])


def _trusted(ca: str, state: Path) -> bool | str:
    """A file with the usual authorities and those of the text `ca`; True where there is none."""
    if not ca:
        return True
    file = state / "trusted.pem"
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = file.with_suffix(".new")
    aside.write_text(Path(DEFAULT_CA_BUNDLE_PATH).read_text("utf-8") + "\n" + ca, "utf-8")
    aside.rename(file)
    return str(file)
