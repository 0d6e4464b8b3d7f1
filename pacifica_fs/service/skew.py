"""By how much this machine's clock differs from those of the configured servers."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import requests

from ..config import ArchiveSettings
from ..transport.credentials import Anonymous

log = logging.getLogger(__name__)
TIMEOUTS = (3.0, 5.0)


def skews(archives: Sequence[ArchiveSettings]) -> dict[str, float]:
    """Seconds by which the clock of each server is before ours, by its host name. Never raises.

    Any answer will do, also a refusal: only its `Date` is looked at. Who does not answer is left out. Any server is
    asked once, all of them at once, anonymously.
    """
    places: dict[str, tuple[str, bool | str]] = {}
    for archive in archives:
        verify = archive.options.get("ca_bundle", True)
        for url in _addresses(archive):
            places.setdefault(urlsplit(url).netloc, (url, verify if isinstance(verify, bool | str) else True))
    if not places:
        return {}
    with ThreadPoolExecutor(min(8, len(places)), "skew") as pool:
        asked = {host: pool.submit(_skew, url, verify) for host, (url, verify) in places.items()}
    return {host: skew for host, future in asked.items() if (skew := future.result()) is not None}


def _addresses(archive: ArchiveSettings) -> list[str]:
    """Every option that is an address; `endpoint` may leave the protocol out."""
    found = []
    for key, value in archive.options.items():
        if not isinstance(value, str) or not value:
            continue
        if key == "endpoint" and "://" not in value:
            value = f"{'http' if archive.options.get('secure') is False else 'https'}://{value}"
        if value.startswith(("http://", "https://")) and "@" not in urlsplit(value).netloc:
            found.append(value)
    return found


def _skew(url: str, verify: bool | str) -> float | None:
    with requests.Session() as session:
        session.auth = Anonymous().auth
        begun = time.time()
        try:
            answer = session.head(url, timeout=TIMEOUTS, verify=verify, allow_redirects=False)
            theirs = parsedate_to_datetime(answer.headers["Date"]).timestamp()
        except (requests.RequestException, OSError, KeyError, ValueError) as error:
            log.debug("%s: its clock is not known: %s", url, type(error).__name__)
            return None
        # They round down to seconds: anything within the request and that second is as good as none.
        ended = time.time()
    if theirs + 1 < begun:
        return theirs + 1 - begun
    return theirs - ended if theirs > ended else 0.0
