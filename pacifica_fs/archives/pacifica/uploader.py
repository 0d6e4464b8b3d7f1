"""The site's template and its policy service, put together: metadata is completed, and choices are shown.

Threading: any thread. What policy offers is kept for a moment, since the bundles of one day ask the same. Texts are
made in threads of their own, and waited for no longer than a few seconds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import TimeoutError

from cachetools import TTLCache

from ...errors import WaitTimeout
from ...model import Metadata
from ...transport.workers import Workers
from . import choices
from .filling import Ask, Filled, Row, fill
from .policy import Policy
from .template import DEFAULT, Query, Template

KEPT_SECONDS = 30.0
PATIENCE = 15.0
"""Seconds that the opening of a text waits for the site; the answer is then there for the next."""
AT_ONCE = 2


class Uploader:
    """`template` None: the site has none. Nothing is completed, and a common one stands for it to show choices.

    `first`: of several choices the first is taken. `refused(submitter, fields)`: whether policy says no.
    """

    def __init__(
        self, policy: Policy, template: Template | None, first: bool, refused: Callable[[int, Mapping[str, str]], bool]
    ) -> None:
        self.template = template
        self._policy, self._first, self._refused = policy, first, refused
        self._kept: TTLCache[tuple[int, Query], Sequence[Row]] = TTLCache(1024, KEPT_SECONDS)
        self._lock = threading.Lock()
        self._workers = Workers("pacifica choices", AT_ONCE)

    @property
    def fields(self) -> frozenset[str]:
        """Fields of the transaction that the site's template looks after."""
        return self.template.fields if self.template else frozenset()

    def fill(self, given: Metadata, submitter: int) -> Filled:
        """`given` completed for this user. Raises what `transport.http` does."""
        if self.template is None:
            return Filled(given)
        return fill(self.template, given, self._as(submitter), str(submitter), self._first)

    def names(self, path: Sequence[str]) -> Sequence[str] | None:
        """See Guides."""
        return choices.names(self.template or DEFAULT, path)

    def text(self, path: Sequence[str], submitter: Callable[[], int]) -> str:
        """The text at `path` for a user; `submitter` may ask the site.

        WaitTimeout, NotFound, Invalid, Denied, or an outage.
        """
        template = self.template or DEFAULT

        def make() -> str:
            number = submitter()
            return choices.text(
                template, path, self._as(number), str(number), lambda fields: self._refused(number, fields)
            )

        if path[0] == choices.TEMPLATE:
            return choices.text(template, path, lambda _: (), "", lambda _: True)
        future = self._workers(make)
        try:
            return future.result(PATIENCE)
        except TimeoutError:
            future.cancel()
            raise WaitTimeout(f"the site's policy service did not answer within {PATIENCE:.0f} s") from None

    def _as(self, user: int) -> Ask:
        def ask(query: Query) -> Sequence[Row]:
            with self._lock:
                if (user, query) in self._kept:
                    return self._kept[user, query]
            rows = self._policy.offered(user, query)
            with self._lock:
                self._kept[user, query] = rows
            return rows

        return ask
