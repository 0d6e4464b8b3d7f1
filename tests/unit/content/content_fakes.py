"""A scripted archive, a clock of our own, and what tests of the content store have in common."""

import hashlib
import queue
import threading
import time
from collections.abc import Callable, Iterator

from pacifica_fs.archive import Arrival, Capabilities, Data, Waiting
from pacifica_fs.content.content import Content
from pacifica_fs.model import Digest, FileRef

LIMIT = 10.0  # seconds of real time that anything may take here
MIB = 2**20


class Clock:
    """Time that moves when a test says so, or when somebody sleeps."""

    def __init__(self) -> None:
        self.time = 1_000_000.0
        self._lock = threading.Lock()

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time - 1_000_000.0 + 1000.0

    def advance(self, seconds: float) -> None:
        with self._lock:
            self.time += seconds

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        time.sleep(0.001)


def pattern(size: int, seed: int = 0) -> bytes:
    """Bytes that differ from place to place and from seed to seed."""
    block = hashlib.sha512(str(seed).encode()).digest() * 64
    out = bytearray()
    count = 0
    while len(out) < size:
        out += count.to_bytes(8, "little") + block
        count += 1
    return bytes(out[:size])


def until(condition: Callable[[], object], seconds: float = LIMIT) -> None:
    """Wait until `condition()`; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


class Stream:
    """A stream that a test feeds: `put` an arrival or an exception, `end` it."""

    def __init__(self) -> None:
        self.items: queue.Queue[object] = queue.Queue()
        self.closed = threading.Event()
        self.opened = threading.Event()
        self.pulled = 0

    def put(self, *items: object) -> "Stream":
        for item in items:
            self.items.put(item)
        return self

    def data(self, content: bytes, start: int, stop: int) -> "Stream":
        return self.put(Data(0, start, content[start:stop]))

    def end(self) -> "Stream":
        return self.put(StopIteration)

    def __call__(self, ref: FileRef, start: int, attempt: int) -> Iterator[Arrival]:
        self.opened.set()
        try:
            while True:
                try:
                    item = self.items.get(timeout=0.02)
                except queue.Empty:
                    yield Waiting("the test lets it wait", "http://cart/1", 1)
                    continue
                self.pulled += 1
                if item is StopIteration:
                    return
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self.closed.set()


class FakeArchive:
    """Serves `contents` by id; `script` says what the next calls of `open` do instead."""

    kind = "fake"
    views = ()

    def __init__(self, name: str = "emsl", capabilities: Capabilities | None = None) -> None:
        self.name = name
        self.identity = "me"
        self.capabilities = capabilities or Capabilities(instant=True)
        self.contents: dict[str, bytes] = {}
        self.script: list[Callable[[FileRef, int, int], Iterator[Arrival]]] = []
        self.opens: list[tuple[str, int, int]] = []
        self.chunk = 256 * 1024
        self.running = 0
        self.most = 0
        self._lock = threading.Lock()

    def add(self, content: bytes, *, algorithm: str = "sha1", id: str = "", **changes: object) -> FileRef:
        id = id or f"f{len(self.contents)}"
        self.contents[id] = content
        digest = Digest(algorithm, hashlib.new(algorithm, content).hexdigest()) if algorithm else None
        fields = {"size": len(content), "digest": digest, **changes}
        return FileRef(self.name, "67", id, ("data", id), mtime_ns=0, **fields)

    def stream(self, ref: FileRef, start: int, attempt: int) -> Iterator[Arrival]:
        content = self.contents[ref.id]
        for offset in range(start, len(content), self.chunk):
            yield Data(0, offset, content[offset : offset + self.chunk])

    def open(self, files, *, start: int = 0, attempt: int = 0) -> Iterator[Arrival]:
        (ref,) = files
        with self._lock:
            self.opens.append((ref.id, start, attempt))
            behaviour = self.script.pop(0) if self.script else self.stream
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            yield from behaviour(ref, start, attempt)
        finally:
            with self._lock:
                self.running -= 1


def read_all(content: Content, ref: FileRef, path: str = "/a", step: int = MIB) -> bytes:
    """What a program gets that reads from start to end."""
    reader = content.open(ref, path)
    try:
        parts = []
        offset = 0
        while part := reader.read(step, offset):
            assert len(part) == min(step, reader.size - offset)
            parts.append(part)
            offset += len(part)
        return b"".join(parts)
    finally:
        reader.close()


def settle(content: Content) -> None:
    """Wait until no fetch is under way and what was fetched is on disk."""
    until(lambda: not [one for one in content.downloads() if not one["error"]])


class Background:
    """A call in a thread; `result` waits for it."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._value: object = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value = self._call()
        except BaseException as error:  # noqa: BLE001 - raised again by `result`
            self._error = error

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def result(self, seconds: float = LIMIT):
        self._thread.join(seconds)
        assert self.done, "still waiting"
        if self._error is not None:
            raise self._error
        return self._value
