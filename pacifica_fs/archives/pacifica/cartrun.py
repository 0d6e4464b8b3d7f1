"""Drives carts: posts them, polls them, reads their tar, and deletes them. The decisions are made in `carts`."""

from __future__ import annotations

import logging
import uuid
from collections import deque
from collections.abc import Callable, Generator

from ...archive import Arrival, Data, Waiting
from ...clock import Clock
from ...errors import BadAnswer, NotFound, PacificaFSError, Unobtainable, Unreachable
from ...model import FileRef
from ...transport.http import Http, Stream, Timeouts
from .carts import Cart, Event, Limits, Phase, pause, step
from .tarstream import Member, members

log = logging.getLogger(__name__)

# The folder in the cart's tar is the `filename` of the request; our own is short and plain ASCII.
FOLDER = "c"
POLL = Timeouts(connect=5.0, read=15.0)
DELETE = Timeouts(connect=2.0, read=5.0)
# A cart service that restarts is waited for this long while one of our carts is staging there.
OUTAGE_SECONDS = 20.0
_TAIL = 64 * 1024

Wanted = dict[int, FileRef]
Reading = Generator[Arrival | None, None, None]


class Carts:
    """One site's cart service. Safe for any thread: each `read` has carts of its own."""

    name = "cart"

    def __init__(
        self,
        http: Http,
        clock: Clock,
        stuck: float,
        new_uid: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self.http = http
        self._clock = clock
        self._stuck = stuck
        self._new_uid = new_uid
        # Carts that could not be deleted while the service was down: they hold its disk until somebody does.
        self._left: deque[str] = deque(maxlen=100)

    def read(self, wanted: Wanted, start: int = 0) -> Reading:
        """The bytes of `wanted`, which loses each file that has arrived whole; `start` is not made use of.

        Yields None after the last byte. Closing it early deletes the cart as well. BadAnswer if the site cannot stage a
        file, Unreachable if its service is down or stuck.
        """
        cart, uid, begun, polls = Cart(), "", 0.0, 0
        # One bad file spoils a cart of many; whoever asked will ask again, for one at a time.
        limits = Limits() if len(wanted) == 1 else Limits(error=1)
        try:
            while not cart.ended:
                if cart.phase is Phase.POST:
                    if uid:
                        self._delete(uid)
                        self._clock.sleep(min(2.0, 0.5 * cart.error))
                    uid = self._new_uid()
                    yield self._waiting("asking for a cart", uid, polls)
                    self._post(uid, wanted)
                    begun, cart = self._clock.monotonic(), step(cart, Event.ACCEPTED)
                elif cart.phase is Phase.STAGE:
                    event, reason, polls = yield from self._watch(uid, begun, polls)
                    cart = step(cart, event, reason, limits)
                else:
                    event, reason = yield from self._fetch(uid, wanted)
                    cart = step(cart, event, reason, limits)
            if cart.phase is Phase.FAILED:
                raise _failure(cart)
        except Unreachable:
            if uid and cart.phase in (Phase.POST, Phase.STAGE):  # the service is down: the error must not wait for it
                self._left.append(uid)
                uid = ""
            raise
        finally:
            if uid:
                self._delete(uid)

    def _post(self, uid: str, wanted: Wanted) -> None:
        entries = []
        for ref in wanted.values():
            if ref.digest is None:
                raise BadAnswer(f"the site lists no hash for file {ref.id}, and gives out no file without one")
            kind, value = ref.digest.algorithm, ref.digest.value
            entries.append({"id": int(ref.id), "path": ref.id, "hashtype": kind, "hashsum": value})
        # Posting twice makes two rows of which the newer counts, and one DELETE removes both.
        self.http.request("POST", uid, json={"fileids": entries}, expect=(201,), repeat=True)

    def _watch(self, uid: str, begun: float, polls: int) -> Generator[Arrival | None, None, tuple[Event, str, int]]:
        """Look until something other than `staging` is seen."""
        seen = self._clock.monotonic()
        while True:
            self._clock.sleep(pause(self._clock.monotonic() - begun))
            polls += 1
            try:
                event, reason = self._look(uid)
                seen = self._clock.monotonic()
            except Unreachable as error:
                if self._clock.monotonic() - seen > OUTAGE_SECONDS:
                    raise
                event, reason = Event.STAGING, str(error)
            if event is not Event.STAGING:
                return event, reason, polls
            staging = self._clock.monotonic() - begun
            if staging > self._stuck:
                return Event.STUCK, f"staging for {staging:.0f} s without a change", polls
            yield self._waiting(reason or "the site is staging it", uid, polls)

    def _look(self, uid: str) -> tuple[Event, str]:
        answer = self.http.request("HEAD", uid, expect=(204, 404, 500), repeat=False, timeouts=POLL)
        status = answer.headers.get("x-pacifica-status", "")
        reason = answer.headers.get("x-pacifica-message", "")
        if answer.status == 404 and status:
            return Event.GONE, reason
        if answer.status == 500 and status == "error":
            return Event.ERROR, reason
        if answer.status == 204 and status in ("staging", "ready"):
            return (Event.READY if status == "ready" else Event.STAGING), reason
        if answer.status == 500:
            raise Unreachable(f"{answer.url}: the cart service fails (status 500)")
        raise BadAnswer(f"{answer.url}: not what a cart service says: {answer.status} {status!r}")

    def _fetch(self, uid: str, wanted: Wanted) -> Generator[Arrival | None, None, tuple[Event, str]]:
        try:
            stream = self.http.stream(uid, params={"filename": FOLDER}, expect=(200, 202), absent=True)
        except NotFound as error:
            return Event.GONE, str(error)
        with stream:
            if stream.status == 202:
                return Event.STAGING, ""
            begun = False
            try:
                for arrival in self._files(stream, wanted):
                    begun = True
                    yield arrival
            except BadAnswer as error:
                if begun:
                    raise
                return Event.ERROR, str(error)
        return Event.READ, ""

    def _files(self, stream: Stream, wanted: Wanted) -> Reading:
        """Data of wanted members. The size in the tar counts, not the listed one: the digest judges, elsewhere."""
        names = {f"{FOLDER}/{ref.id}": index for index, ref in wanted.items()}
        current, offset, left = -1, 0, 0
        chunks = stream.chunks()
        for part in members(chunks):
            if isinstance(part, Member):
                current, offset, left = names.pop(part.name, -1), 0, part.size
                if current < 0:
                    log.warning("%s: a file that nobody asked for is in the cart: %r", stream.url, part.name[:100])
            elif current >= 0:
                yield Data(current, offset, part)
                offset += len(part)
            if current >= 0 and offset == left:
                del wanted[current]
                current = -1
                if not wanted:
                    yield None
                    break
        if wanted:
            raise BadAnswer(f"{stream.url}: {len(wanted)} of the files asked for are not in the cart")
        # Read on to the end, so that the connection can serve the next request.
        rest = 0
        for piece in chunks:
            rest += len(piece)
            if rest > _TAIL:
                break

    def _delete(self, uid: str) -> None:
        """Best effort: somebody else may have done it, or the service is down."""
        try:
            self.http.request("DELETE", uid, expect=(200, 404), repeat=False, timeouts=DELETE)
        except Unreachable:
            self._left.append(uid)
        except PacificaFSError as error:
            log.info("the cart %s was not deleted: %s", uid, error)
        else:
            for _ in range(min(len(self._left), 3)):
                self._delete_left()

    def _delete_left(self) -> None:
        try:
            uid = self._left.popleft()
            self.http.request("DELETE", uid, expect=(200, 404), repeat=False, timeouts=DELETE)
        except (IndexError, PacificaFSError) as error:
            log.info("a left cart was not deleted: %s", error)

    def _waiting(self, reason: str, uid: str, polls: int) -> Waiting:
        return Waiting(reason, self.http.url(uid), polls)


def _failure(cart: Cart) -> PacificaFSError:
    reason = " ".join(cart.reason.split())[:200]
    if cart.cause is Event.ERROR:
        kind = Unobtainable if cart.error > 1 else BadAnswer
        return kind(f"the site cannot give out this file (tried {cart.error} times): {reason}")
    if cart.cause is Event.GONE:
        return Unreachable(f"the site removed the cart {cart.gone} times before it could be read (is its disk full?)")
    return Unreachable(f"the site does not finish staging (tried {cart.stuck} times): {reason}")
