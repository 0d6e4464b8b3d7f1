"""What to fetch before anybody asks for it: pure decisions about programs that go through the files of a container."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ..model import FileRef

FORWARD = 4  # files that a program may leave out (it has no right to them, or they are none of its kind)
BACK = 8  # how far behind several programs that share the work may be (xargs -P)
HEADS = 4  # programs in one order of a container that are told apart
FIRST = 4  # files of the first batch
SECONDS = 3.0  # what the files of one batch may take to be staged: nothing of it can be read before all is
UNDER_WAY = 2  # batches
SMALL = 16 * 2**20  # a larger file streams well by itself, and a program may only want to see its head
AHEAD = 64 * 2**20  # bytes ahead of the program, where the cache is large enough
SHARE = 8  # part of the cache that may be ahead
FORGET = 30.0  # seconds without an open after which a scan is over


class Head:
    """A program that goes through an order: where it is, how far it came in a row, and what was fetched for it."""

    __slots__ = ("ahead", "at", "order", "seen", "size", "streak")

    def __init__(self, order: int, at: int, now: float) -> None:
        self.order, self.at, self.seen = order, at, now
        self.streak = 1
        self.ahead = at + 1  # the first that was not considered yet
        self.size = 0  # of the last batch


class Scan:
    """The files of one container, and who goes through them. Not shared between threads."""

    def __init__(self, orders: Sequence[Sequence[FileRef]], cache: int = SHARE * AHEAD) -> None:
        """`cache`: the bytes that the content store may have."""
        self.orders = orders
        self._bytes = min(AHEAD, cache // SHARE)
        self._places = [{ref.id: place for place, ref in enumerate(order)} for order in orders]
        self._heads: list[list[Head]] = [[] for _ in orders]

    def opened(self, id: str, now: float) -> Head | None:
        """A file was opened; the head that came there in order, if this is a scan."""
        best = None
        for order, places in enumerate(self._places):
            at = places.get(id)
            if at is None:
                continue
            head = self._moved(order, at, now)
            if head.streak > 1 and (best is None or head.streak > best.streak):
                best = head
        return best

    def _moved(self, order: int, at: int, now: float) -> Head:
        heads = self._heads[order]
        for head in heads:
            if head.at - BACK < at <= head.at + FORWARD:
                if at > head.at:
                    head.streak += 1
                    head.at = at
                    head.ahead = max(head.ahead, at + 1)
                head.seen = now
                return head
        if len(heads) >= HEADS:
            heads.remove(min(heads, key=lambda one: one.seen))
        heads.append(Head(order, at, now))
        return heads[-1]

    def batch(self, head: Head, per_file: float, most: int) -> list[FileRef]:
        """The next batch for an archive that stages `most` files at once, each in `per_file` seconds; may be empty.

        Each is twice as large as the one before: the first ones come soon, and many are a few requests.
        """
        in_time = int(SECONDS / per_file) if per_file > 0 else most
        number = max(1, min(max(FIRST, 2 * head.size), max(FIRST, in_time), most))
        found = self.next(head, number)
        if found:
            head.size = max(head.size, len(found))
        return found

    def window(self, head: Head, parallel: int) -> list[FileRef]:
        """What to fetch now, each by itself, so that up to twice `parallel` files are ahead of the program."""
        wide = min(2 * parallel, 2 * head.streak)
        return self.next(head, head.at + wide - head.ahead + 1)

    def next(self, head: Head, number: int) -> list[FileRef]:
        """At most `number` small files that come next, within the bytes that may be ahead."""
        order = self.orders[head.order]
        bytes_ahead = sum(ref.size for ref in order[head.at + 1 : head.ahead] if ref.size <= SMALL)
        found: list[FileRef] = []
        while len(found) < number and head.ahead < len(order):
            ref = order[head.ahead]
            if ref.size <= SMALL:
                if bytes_ahead + ref.size > self._bytes:
                    break
                bytes_ahead += ref.size
                found.append(ref)
            head.ahead += 1
        return found


class Pace(msgspec.Struct):
    """How long an archive takes to stage a file of a batch, as learned from its last batches; seconds."""

    per_file: float = 0.03

    def learn(self, seconds: float, files: int) -> None:
        """A batch of `files` was ready after `seconds`."""
        if files:
            self.per_file += 0.5 * (seconds / files - self.per_file)
