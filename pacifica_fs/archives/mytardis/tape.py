"""Files on tape (`tardis.apps.hsm`): told before they are asked for, since a download alone would recall them."""

from __future__ import annotations

from collections.abc import Iterator

from ...archive import Waiting
from ...clock import Clock
from ...errors import BadAnswer, NotFound, NotPermitted, Offline
from ...model import FileRef
from .client import Client
from .options import Options

APPS_FOR = 3600.0
FIRST, LONGEST = 2.0, 30.0  # seconds between two questions whether a file is back


class Tape:
    """One site's tapes. All methods may be called from any thread."""

    def __init__(self, client: Client, options: Options, clock: Clock) -> None:
        self._client = client
        self._mode = options.recall
        self._clock = clock
        self._has: tuple[bool, float] | None = None
        self._plain: frozenset[str] = frozenset()

    def note(self, apps: frozenset[str]) -> None:
        """What the site's index says."""
        self._has = "hsm_replica" in apps, self._clock.monotonic() + APPS_FOR

    def fetch(self, ref: FileRef) -> Iterator[Waiting]:
        """Returns once `ref` may be downloaded; Offline if it is on tape and may not be recalled by a mere read."""
        if self.online(ref):
            return
        if self._mode != "always":
            remedy = "run: pacifica-fs recall PATH" if self._mode == "ask" else "the configuration forbids its recall"
            raise Offline(f"file {ref.id} of {ref.archive} is on tape; {remedy}")
        path = self._recall(ref)
        pause, polls = FIRST, 0
        while True:
            polls += 1
            yield Waiting("it is being recalled from tape", self._client.http.base + path, polls)
            self._clock.sleep(pause)
            if self.online(ref):
                return
            pause = min(LONGEST, pause * 1.5)

    def recall(self, ref: FileRef) -> bool:
        """Ask for the file; False: it is not on tape. NotPermitted where the configuration forbids that."""
        if self._mode == "never":
            raise NotPermitted(f'[archives.{ref.archive}] recall = "never": files are not recalled from tape')
        if self.online(ref):
            return False
        self._recall(ref)
        return True

    def online(self, ref: FileRef) -> bool:
        """Whether a download would not touch a tape. One request; none where the site, or the box, has no tapes."""
        extra = dict(ref.extra)
        replica, box = extra.get("replica", ""), extra.get("box", "")
        if not replica or box in self._plain or not self._has_app():
            return True
        path = f"/api/v1/hsm_replica/{replica}/online/"
        try:
            # 500: a storage class without tapes.
            answer = self._client.http.request("GET", path, params={"format": "json"}, expect=(200, 500), absent=True)
        except NotFound:
            return True
        if answer.status == 500:
            if b"StorageClassNotSupported" not in answer.body:
                raise BadAnswer(f"{answer.url}: the site cannot say whether the file is on tape (status 500)")
            if box:
                self._plain |= {box}
            return True
        state = answer.json()
        return not (isinstance(state, dict) and state.get("online") is False)

    def _has_app(self) -> bool:
        if self._has is None or self._clock.monotonic() > self._has[1]:
            self.note(self._client.apps())
        assert self._has is not None
        return self._has[0]

    def _recall(self, ref: FileRef) -> str:
        """A GET that has an effect: it is sent once, and only when somebody asked for it."""
        path = f"/api/v1/hsm_replica/{dict(ref.extra)['replica']}/recall/"
        self._client.http.request("GET", path, params={"format": "json"}, repeat=False)
        return path
