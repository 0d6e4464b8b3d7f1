"""A site's policy and cart services, scripted file by file: for what real services cannot be made to do when asked.

It answers as the released services do, their oddities included: policy tells of errors with status 200, a cart that
staged wrongly says 202 to GET, its tar has no length. Everything may be changed while it runs. It runs in threads of
the tests' process: what maps the mount into memory must be in a process of its own.
"""

from __future__ import annotations

import hashlib
import html
import itertools
import json
import random
import socket
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from .process import LOOPBACK, free_ports

TIME = "2026-11-21T01:20:13"
STEP = 64 * 1024
PROJECT = {"_id": "1234a", "title": "Pacifica Dévelopment", "short_name": "Dévelopment"}
INSTRUMENT = {"_id": 54, "name": "NMR PROBES", "name_short": "NMR", "display_name": "NMR PROBES", "active": True}
USER = {"_id": 10, "first_name": "Davidé", "last_name": "Browné Jr", "network_id": "dmlb2001"}


@dataclass(eq=False)
class File:
    """One file as the site lists it, and what becomes of a cart that has it. `id` is the site's; unique there.

    `size`, `hashtype` and `hashsum` are what is claimed (default: the truth about `data`). A cart of it stays in
    staging while `stuck`, ends with `error` if that is not empty, and holds `sent` in place of `data`. Its tar comes
    with `rate` bytes a second, and after `stop_at` bytes of the content it `end`s, `break`s off, or `hold`s until `go`.
    """

    id: int | str
    name: str
    data: bytes = b""
    subdir: str = ""
    size: int | None = None
    hashtype: str = "sha1"
    hashsum: str | None = None
    stuck: bool = False
    error: str = ""
    sent: bytes | None = None
    rate: float = 0.0
    stop_at: int | None = None
    stop: Literal["end", "break", "hold"] = "hold"
    go: threading.Event = field(default_factory=threading.Event)

    def row(self, transaction: int) -> dict[str, Any]:
        """Its entry of a listing."""
        digest = self.hashsum if self.hashsum is not None else hashlib.new(self.hashtype, self.data).hexdigest()
        return {
            **dict.fromkeys(("created", "updated", "ctime", "mtime"), TIME),
            "deleted": None,
            "_id": self.id,
            "name": self.name,
            "subdir": self.subdir,
            "mimetype": "application/octet-stream",
            "transaction": transaction,
            "size": len(self.data) if self.size is None else self.size,
            "hashsum": digest,
            "hashtype": self.hashtype,
            "suspense_date": None,
            "encoding": "UTF8",
        }


class Service:
    """One HTTP service on a port that stays its own while it is down."""

    def __init__(self, site: FakeSite, name: str) -> None:
        self.name = name
        self.port = free_ports(1)[0]
        self._site = site
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{LOOPBACK}:{self.port}"

    def up(self) -> None:
        """Listen."""
        if self._server is None:
            self._server = _Server((LOOPBACK, self.port), type("Handler", (_Handler,), {"site": self._site}))
            self._server.service = self.name
            threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def down(self) -> None:
        """Refuse connections, and break off all that there are."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            server.cut()


class FakeSite:
    """The two services, running until `close`. `requests` counts `cart POST`, `policy GET`, and so on.

    While `page` is set, every request is answered with that status and HTML, as by something between; with status 0 not
    at all.
    """

    def __init__(self) -> None:
        self.transactions: dict[int, list[File]] = {}
        self.carts: dict[str, list[File]] = {}
        self.requests: Counter[str] = Counter()
        self.page: tuple[int, str] | None = None
        self.closing = threading.Event()
        self.policy = Service(self, "policy")
        self.cart = Service(self, "cart")
        self.up()

    def add(self, transaction: int, *files: File) -> None:
        """A transaction, or more files of it."""
        self.transactions.setdefault(transaction, []).extend(files)

    def table(self, **more: Any) -> dict[str, Any]:
        """An archive's configuration table for this site."""
        return {"kind": "pacifica", "policy": self.policy.url, "cart": self.cart.url, "user": "dmlb2001", **more}

    def up(self) -> None:
        """Start both services."""
        self.policy.up()
        self.cart.up()

    def down(self) -> None:
        """An outage of both."""
        self.policy.down()
        self.cart.down()

    def close(self) -> None:
        """The end."""
        self.closing.set()
        self.down()

    def file(self, id: str) -> File | None:
        """The file with an id."""
        return next((file for files in self.transactions.values() for file in files if str(file.id) == id), None)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    service = ""

    def __init__(self, address: tuple[str, int], handler: Any) -> None:
        super().__init__(address, handler)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def cut(self) -> None:
        with self._lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 20
    disable_nagle_algorithm = True
    site: FakeSite
    server: _Server

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_DELETE = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""

    def _answer(self) -> None:
        self.site.requests[f"{self.server.service} {self.command}"] += 1
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.site.page is not None:
            self._page(*self.site.page)
            return
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if self.server.service == "cart":
            self._cart(parts.path.strip("/"), query, body)
        else:
            self._policy(parts.path.strip("/").split("/"), query, body)

    def _json(self, value: Any, status: int = 200, **headers: str) -> None:
        body = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _page(self, status: int, text: str) -> None:
        if not status:
            while self.site.page is not None and not self.site.closing.wait(0.05):
                pass
            self.close_connection = True
            return
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _wrong(self, status: int, message: str, seen: int = 200) -> None:
        """An error as policy tells it: with status 200 where it came from the metadata service behind it."""
        text = {400: "400 Invalid Request Options", 404: "404 Not Found", 500: "500 Internal Server Error"}[status]
        error = {"status": text, "message": html.escape(message), "traceback": "Traceback …", "version": "18.10.0"}
        self._json(error, seen)

    # -- policy

    def _policy(self, path: list[str], query: dict[str, str], body: bytes) -> None:
        if path == ["uploader"] and self.command == "POST":
            self._uploader(json.loads(body))
        elif path[:2] == ["status", "transactions"] and len(path) >= 4:
            self._transactions(path[2], path[3], query)
        elif path == [""]:
            self._json({"message": "Pacifica Policy Up and Running"})
        else:
            self._wrong(404, "Not Found", 404)

    def _uploader(self, asked: dict[str, Any]) -> None:
        rows = {"users": USER, "projects": PROJECT, "instruments": INSTRUMENT}
        if set(asked) != {"user", "from", "columns", "where"} or asked["from"] not in rows:
            self._wrong(500, "bad query", 500)
            return
        row = rows[asked["from"]]
        known = all(str(row.get(key)) == str(value) for key, value in asked["where"].items())
        self._json([{key: value for key, value in row.items() if key in asked["columns"]}] if known else [])

    def _transactions(self, what: str, id: str, query: dict[str, str]) -> None:
        found = self.site.transactions
        if what == "search" and id == "list":
            self._search(query)
        elif not id.isdecimal():
            self._wrong(400, "not a number", 400)
        elif what == "files":
            number = int(id)
            self._json({str(file.id): file.row(number) for file in found.get(number, [])})
        elif what == "by_id" and int(id) in found:
            self._json(_detailed(int(id), found[int(id)]))
        else:
            self._wrong(404, f"No Transaction with an ID of {id} was found")

    def _search(self, query: dict[str, str]) -> None:
        row = {"project": "1234a", "instrument": "54", "submitter": "10"}
        unknown = any(query[key] != value for key, value in row.items() if key in query)
        found = {} if unknown else dict(sorted(self.site.transactions.items(), reverse=True))
        if "transaction_id" in query:
            found = {id: files for id, files in found.items() if str(id) == query["transaction_id"]}
        number, size = int(query.get("page", -1)), int(query.get("item_count", 100))
        shown = list(found.items())
        if number >= 1:
            shown = shown[(number - 1) * size : number * size]
        transactions = {
            str(id): {
                "file_size_bytes": sum(len(file.data) for file in files),
                "file_count": len(files),
                "status": {"trans_id": id, "person_id": 10, "step": 6, "message": "verified", "status": "success"},
                "metadata": _row(id) | {"file_ids": [file.id for file in files]},
                "kv_pairs": {},
            }
            for id, files in shown
        }
        counts = {"total_count": len(found), "items_per_page": size, "page": number, "offset": 0}
        self._json({"transactions": transactions, "times": {id: TIME for id in transactions}, **counts})

    # -- cart

    def _cart(self, uid: str, query: dict[str, str], body: bytes) -> None:
        carts = self.site.carts
        if not uid:
            self._json({"message": "Pacifica Cartd Interface Up and Running"})
        elif self.command == "POST":
            wanted = [self.site.file(str(entry["id"])) for entry in json.loads(body)["fileids"]]
            carts[uid] = [file for file in wanted if file is not None]
            self._json({"message": "Cart Processing has begun"}, 201)
        elif self.command == "DELETE":
            gone = carts.pop(uid, None)
            self._json({"message": "Cart Deleted Successfully"}) if gone else self._wrong(404, "Not Found", 404)
        elif self.command == "HEAD":
            self._state(*_state(carts.get(uid), uid))
        elif uid not in carts:
            self._wrong(404, "The cart does not exist or has already been deleted", 404)
        elif _state(carts[uid], uid)[1] != "ready":
            self._json("The cart is not ready for download.", 202)
        else:
            self._tar(carts[uid], query.get("filename", "data").replace(".tar", ""))

    def _state(self, status: int, state: str, message: str) -> None:
        self.send_response(status)
        self.send_header("X-Pacifica-Status", state)
        self.send_header("X-Pacifica-Message", message)
        self.send_header("Content-Type", "application/json")
        if status != 204:
            self.send_header("Content-Length", "0")
        self.end_headers()

    def _tar(self, files: list[File], folder: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            self._chunk(_header(folder, None))
            for file in random.sample(files, len(files)):
                self._member(file, folder)
            self._chunk(b"\0" * 10240)
            self.wfile.write(b"0\r\n\r\n")
        except _Cut as cut:
            if cut.args[0] == "end":
                self.wfile.write(b"0\r\n\r\n")
                return
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def _member(self, file: File, folder: str) -> None:
        data = file.data if file.sent is None else file.sent
        self._chunk(_header(f"{folder}/{file.id}", len(data)))
        for start, end in _steps(file, len(data)):
            if start == file.stop_at:
                self.wfile.flush()
                if file.stop != "hold":
                    raise _Cut(file.stop)
                while not (file.go.wait(0.05) or self.site.closing.is_set()):
                    pass
            self._chunk(data[start:end])
            if file.rate:
                self.wfile.flush()
                time.sleep((end - start) / file.rate)
        self._chunk(b"\0" * (-len(data) % 512))

    def _chunk(self, data: bytes) -> None:
        if data:
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


class _Cut(Exception):
    pass


def _steps(file: File, size: int) -> Iterator[tuple[int, int]]:
    edges = sorted({*range(0, size, STEP), size, *({min(file.stop_at, size)} if file.stop_at is not None else ())})
    yield from itertools.pairwise(edges)
    if file.stop_at is not None and file.stop_at >= size:
        yield file.stop_at, file.stop_at


def _state(files: list[File] | None, uid: str) -> tuple[int, str, str]:
    if files is None:
        return 404, "error", f"No cart with uid {uid} found"
    for file in files:
        # What the site lists wrongly, its own check finds; what `sent` is, is wrong from there on.
        listed = file.hashsum in (None, hashlib.new(file.hashtype, file.data).hexdigest())
        error = file.error or ("" if listed else "File hash does not match provided hash")
        if error:
            return 500, "error", f"Failed to pull file({error})"
    return 204, ("staging" if not files or any(file.stuck for file in files) else "ready"), ""


def _header(name: str, size: int | None) -> bytes:
    """A tar header: of a folder (`size` None) or a file."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = (tarfile.DIRTYPE, 0o755) if size is None else (tarfile.REGTYPE, 0o644)
    entry.size, entry.mtime = size or 0, int(time.time())
    return entry.tobuf(tarfile.PAX_FORMAT)


def _row(id: int) -> dict[str, Any]:
    return {
        "transaction_id": id,
        "submitter_id": 10,
        "project_id": "1234a",
        "instrument_id": 54,
        "submitted": TIME,
        "release_date": None,
        "release_state": "not_released",
        "release_state_display": "Not Released",
    }


def _detailed(id: int, files: list[File]) -> dict[str, Any]:
    return {
        **dict.fromkeys(("created", "updated"), TIME),
        "deleted": None,
        "_id": id,
        "submitter": 10,
        "instrument": 54,
        "project": "1234a",
        **_row(id),
        "file_ids": [file.id for file in files],
        "submitter_name": "Davidé Browné Jr",
        "project_name": "Pacifica Dévelopment",
        "instrument_name": "NMR PROBES",
        "files": {str(file.id): {**file.row(id), "key_values": {}} for file in files},
        "key_values": {"Tag": "first"},
    }
