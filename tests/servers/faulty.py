"""A reverse proxy that breaks things: between a client and a real service, with scripted faults (`faults` names them).

    with FaultyProxy(site.cart) as proxy:
        proxy.on("GET", "^/", CutAnswer(after=1000), times=1)
        ...  # use proxy.url instead of site.cart
        assert proxy.count("GET") == 2

Every request whose rules are used up, or that none matches, is passed on as it is. A new rule goes before older ones.
All methods may be called from any thread, at any time.
"""

from __future__ import annotations

import http.client
import re
import socket
import struct
import threading
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import BinaryIO
from urllib.parse import urlsplit

import msgspec

from .faults import (
    Corrupt,
    CutAnswer,
    CutRequest,
    Delay,
    Fault,
    LoseAnswer,
    Replace,
    Reply,
    Rewrite,
    Rule,
    Stall,
    StallAnswer,
)

CHUNK = 1 << 16
WINDOW = 1 << 17
"""What a client has sent and the proxy has not read is at most about twice as many bytes, whatever the machine's
defaults: a client cannot take for sent what a fault does not let through."""
_HOP = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding", "te", "upgrade", "expect"})


class Request(msgspec.Struct, frozen=True):
    """A request that arrived. `path` has the query."""

    number: int
    method: str
    path: str
    headers: Mapping[str, str]


class FaultyProxy:
    """The proxy of one service at `upstream` (a base URL). Open from construction until `close`."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._prefix = parts.path.rstrip("/")
        self._changed = threading.Condition()
        self._rules: list[Rule] = []
        self._requests: list[Request] = []
        self._open: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self._connections = 0
        self._closed = False
        self._listener: socket.socket | None = None
        self._port = 0
        self.accept()

    def __enter__(self) -> FaultyProxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Its base URL; it stays the same as long as it lives."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def connections(self) -> int:
        """How many connections clients have made so far."""
        return self._connections

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in the order of their arrival."""
        with self._changed:
            return list(self._requests)

    def count(self, method: str | None = None, path: str = "") -> int:
        """How many requests had this method and a path in which this regular expression is found."""
        return sum(method in (None, r.method) and bool(re.search(path, r.path)) for r in self.requests)

    def wait(self, number: int = 1, method: str | None = None, path: str = "", timeout: float = 10) -> None:
        """Return once `count` is at least `number`; TimeoutError otherwise."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.count(method, path) >= number, timeout):
                seen = ", ".join(f"{r.method} {r.path}" for r in self._requests[-20:])
                raise TimeoutError(f"{number} requests {method or ''} {path} did not arrive in {timeout} s: {seen}")

    def forget(self) -> None:
        """Count from zero."""
        with self._changed:
            self._requests.clear()

    def on(self, method: str | None, path: str, fault: Fault, *, times: int | None = None, skip: int = 0) -> Rule:
        """Strike requests of `method` (None: any) whose path and query contain the regular expression `path`.

        Only the first `times` of them (None: all), after `skip` that are left alone.
        """
        rule = Rule(method, path, fault, times, skip)
        with self._changed:
            self._rules.insert(0, rule)
        return rule

    def clear(self) -> None:
        """Remove all rules, let go on what stalls, and accept connections again."""
        with self._changed:
            rules, self._rules = self._rules, []
        for rule in rules:
            rule.release()
        self.accept()

    def refuse(self) -> None:
        """Refuse connections, and break those that are open."""
        with self._changed:
            listener, self._listener = self._listener, None
        if listener:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self._break()

    def accept(self) -> None:
        """Accept connections (again)."""
        with self._changed:
            if self._listener or self._closed:
                return
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW)
            listener.bind(("127.0.0.1", self._port))
            listener.listen(128)
            self._port = listener.getsockname()[1]
            self._listener = listener
        self._start(self._serve, listener)

    def close(self) -> None:
        """Close all connections and end all threads."""
        self._closed = True
        self.clear()
        self.refuse()
        with self._changed:
            threads = list(self._threads)
        for thread in threads:
            thread.join(timeout=10)

    def _start(self, target: object, *arguments: object) -> None:
        def run() -> None:
            try:
                target(*arguments)  # type: ignore[operator]
            finally:
                with self._changed:
                    self._threads.discard(threading.current_thread())

        thread = threading.Thread(target=run, name="faulty-proxy", daemon=True)
        with self._changed:
            self._threads.add(thread)
        thread.start()

    def _break(self) -> None:
        with self._changed:
            connections = list(self._open)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._changed:
                self._connections += 1
                self._open.add(client)
                accepting = self._listener is listener
            if not accepting:
                self._break()
            self._start(self._talk, client)

    def _talk(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with client, client.makefile("rb") as stream:
                while self._exchange(client, stream):
                    pass
        except (OSError, http.client.HTTPException):
            pass  # one side went away, which is what this is for; the other one is closed, too
        finally:
            with self._changed:
                self._open.discard(client)

    def _exchange(self, client: socket.socket, stream: BinaryIO) -> bool:
        """One request and its answer; False if the connection is to be closed."""
        line = stream.readline(CHUNK).decode("latin-1")
        if not line.strip():
            return False
        method, path, _ = line.split(" ", 2)
        headers = http.client.parse_headers(stream)
        with self._changed:
            self._requests.append(Request(len(self._requests) + 1, method, path, dict(headers.items())))
            rule = next((rule for rule in self._rules if rule.takes(method, path)), None)
            self._changed.notify_all()
        if headers.get("Expect", "").lower() == "100-continue":
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = _Body(stream, headers)
        keep = headers.get("Connection", "").lower() != "close"
        fault = rule.fault if rule else None
        if rule and isinstance(fault, Stall | Delay):
            rule.hold(client, fault.seconds if isinstance(fault, Delay) else None)
        if isinstance(fault, Reply):
            for _ in body:
                pass
            _answer(client, method, fault, keep)
            return keep
        upstream = http.client.HTTPConnection(*self._upstream, timeout=600)
        try:
            upstream.connect()
        except OSError:
            _answer(client, method, Reply(502, b"<html><body>Bad Gateway</body></html>"), keep=False)
            return False
        connection = upstream.sock
        with self._changed:
            self._open.add(connection)
        try:
            self._pass_on(upstream, method, path, headers, body, fault)
            answer = upstream.getresponse()
            if isinstance(fault, LoseAnswer | Replace):
                answer.read()
                if isinstance(fault, LoseAnswer):
                    return False
                _answer(client, method, fault, keep)
                return keep
            return _relay(client, method, answer, rule) and keep and body.whole
        finally:
            with self._changed:
                self._open.discard(connection)
            upstream.close()

    def _pass_on(
        self,
        upstream: http.client.HTTPConnection,
        method: str,
        path: str,
        headers: http.client.HTTPMessage,
        body: _Body,
        fault: Fault | None,
    ) -> None:
        pieces: Iterable[bytes] = body
        if isinstance(fault, Rewrite):
            changed = fault.change(b"".join(body))
            pieces = [changed]
            body.chunked = False
            del headers["Content-Length"]
            headers["Content-Length"] = str(len(changed))
        upstream.putrequest(method, self._prefix + path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            if name.lower() not in _HOP:
                upstream.putheader(name, value)
        upstream.putheader("Connection", "close")
        if body.chunked:
            upstream.putheader("Transfer-Encoding", "chunked")
        left = fault.after if isinstance(fault, CutRequest) else None
        upstream.endheaders()
        if left == 0:
            raise ConnectionAbortedError("cut before the request's content")
        try:
            for piece in pieces:
                if left is not None:
                    piece = piece[:left]
                    left -= len(piece)
                upstream.send(b"%x\r\n%b\r\n" % (len(piece), piece) if body.chunked else piece)
                if left == 0:
                    raise ConnectionAbortedError("cut within the request's content")
            if body.chunked:
                upstream.send(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # the service answered (413) before it had all


class _Body:
    """The content of a request, piece by piece. `whole` once all of it was read."""

    def __init__(self, stream: BinaryIO, headers: http.client.HTTPMessage) -> None:
        self.chunked = headers.get("Transfer-Encoding", "").lower() == "chunked"
        self._stream = stream
        self._left = int(headers.get("Content-Length", 0))
        self.whole = not self.chunked and not self._left

    def __iter__(self) -> Iterator[bytes]:
        if self.chunked:
            while size := int(self._stream.readline(CHUNK).split(b";")[0], 16):
                yield from self._pieces(size)
                self._stream.readline(CHUNK)
            while self._stream.readline(CHUNK).strip():
                pass
        else:
            yield from self._pieces(self._left)
        self.whole = True

    def _pieces(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self._stream.read1(min(size, CHUNK))  # type: ignore[attr-defined]
            if not piece:
                raise ConnectionResetError("the client closed the connection within a request")
            size -= len(piece)
            yield piece


def _answer(client: socket.socket, method: str, reply: Reply | Replace, keep: bool) -> None:
    headers = {"Content-Type": "text/html", "Content-Length": str(len(reply.body)), **reply.headers}
    headers["Connection"] = "keep-alive" if keep else "close"
    client.sendall(_head(reply.status, http.client.responses.get(reply.status, "Unknown"), headers.items()))
    if method != "HEAD":
        client.sendall(reply.body)


def _relay(client: socket.socket, method: str, answer: http.client.HTTPResponse, rule: Rule | None) -> bool:
    """Send the service's answer on; True if the connection can take another request."""
    fault = rule.fault if rule else None
    bodiless = method == "HEAD" or answer.status in (204, 304) or answer.status < 200
    length = answer.getheader("Content-Length")
    headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP]
    chunked = not bodiless and length is None
    if chunked:
        headers.append(("Transfer-Encoding", "chunked"))
    client.sendall(_head(answer.status, answer.reason, headers))
    position = 0
    stop = fault.after if isinstance(fault, CutAnswer | StallAnswer) else None
    while not bodiless:
        if stop is not None and position == stop:
            if isinstance(fault, CutAnswer):
                if fault.reset:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            assert rule
            rule.hold(client)
            stop = None
        piece = answer.read1(CHUNK if stop is None else min(CHUNK, stop - position))
        if not piece:
            break
        if isinstance(fault, Corrupt) and position <= fault.offset < position + len(piece):
            at = fault.offset - position
            piece = piece[:at] + bytes([piece[at] ^ fault.mask]) + piece[at + 1 :]
        client.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        position += len(piece)
    if chunked:
        client.sendall(b"0\r\n\r\n")
    # A service that broke off is not to be made whole.
    return bodiless or length is None or position == int(length)


def _head(status: int, reason: str, headers: object) -> bytes:
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers)]  # type: ignore[attr-defined]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
