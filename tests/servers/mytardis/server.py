"""A MyTardis server that answers exactly as real ones were seen to: for tests, since MyTardis cannot be installed from
a package index. It runs in threads of the tests' process; everything may be changed while it runs.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import socket
import threading
import time
from collections import Counter
from email.header import Header
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ..process import LOOPBACK, free_ports
from . import nodes
from .api import Api, Query, Refused
from .reference import reference
from .site import DataFile, Site, User

STEP = 256 * 1024


class FakeTardis:
    """The server at `url`, and an object store beside it, until `close`. Switches say what kind of a site it is:

    `old`: release 3.5.2. `nginx`: a web server in front sends the bytes (ranges); `bypassed`: the same, gone around.
    `redirect`: bytes are in the object store. `hsm`: the app for tapes is there. `row_cost`, `page_cost`: seconds for
    each row of a page, and for each row of the whole result. `page`: a status and HTML for every request, as by
    something between; `stop_at`: every download breaks off after that many bytes. `latency`: seconds before any answer.
    """

    def __init__(self, site: Site | None = None, **switches: Any) -> None:
        self.site = site or reference()
        self.old = self.nginx = self.bypassed = self.redirect = self.hsm = False
        self.row_cost = self.page_cost = self.latency = 0.0
        self.rate = 0.0
        self.page: tuple[int, str] | None = None
        self.stop_at: int | None = None
        self.sessions: dict[str, str] = {}
        self.recalls: list[int] = []
        self.log: list[tuple[str, str, dict[str, str]]] = []
        self.open = 0
        self.lock = threading.Lock()
        for name, value in switches.items():
            setattr(self, name, value)
        self._app = _Service(self, _Handler)
        self._store = _Service(self, _Store)
        self.up()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{LOOPBACK}:{self._app.port}"

    @property
    def store_url(self) -> str:
        """The object store: another origin."""
        return f"http://{LOOPBACK}:{self._store.port}"

    @property
    def requests(self) -> Counter[str]:
        """How often each path was asked for."""
        return Counter(urlsplit(path).path for _, path, _ in self.log)

    def count(self, pattern: str) -> int:
        """How many requests there were whose path and query match."""
        return sum(bool(re.search(pattern, path)) for _, path, _ in list(self.log))

    def table(self, username: str = "alice", **more: Any) -> dict[str, Any]:
        """A configuration table; without a username as the public."""
        who = {"username": username, "api_key": f"{username}-key"} if username else {}
        return {"kind": "mytardis", "url": self.url, **who, **more}

    def up(self) -> None:
        """Listen."""
        self._app.up()
        self._store.up()

    def down(self) -> None:
        """Refuse connections, and break off those that there are."""
        self._app.down()
        self._store.down()

    def close(self) -> None:
        """The end."""
        self.down()

    def __enter__(self) -> FakeTardis:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Service:
    def __init__(self, tardis: FakeTardis, handler: type[_Base]) -> None:
        self.port = free_ports(1)[0]
        self._handler = type("Handler", (handler,), {"tardis": tardis})
        self._server: _Server | None = None

    def up(self) -> None:
        if self._server is None:
            self._server = _Server((LOOPBACK, self.port), self._handler)
            threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def down(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            server.cut()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], handler: Any) -> None:
        super().__init__(address, handler)
        self._connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def cut(self) -> None:
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is what these tests are about."""


class _Base(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 20
    disable_nagle_algorithm = True
    tardis: FakeTardis

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""

    def send(self, status: int, body: bytes = b"", kind: str = "text/html; charset=utf-8", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_bytes(self, data: bytes, kind: str, ranges: bool, claimed: int | None = None, name: str = "") -> None:
        """Content; piece by piece, and in parts where `ranges`. `claimed` is the record's size, whatever there is."""
        start, end = 0, len(data)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "") if ranges else None
        if asked:
            start = int(asked[1])
            end = min(int(asked[2]) + 1, end) if asked[2] else end
            if start >= len(data):
                self.send(416, Content_Range=f"bytes */{len(data)}")
                return
        self.send_response(206 if asked else 200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(end - start if claimed is None else claimed))
        self.close_connection = self.close_connection or claimed not in (None, len(data))
        if name:
            # Unescaped; what is not ASCII makes the whole header another encoding's.
            shown = f'attachment; filename="{name}"'
            self.send_header("Content-Disposition", shown if shown.isascii() else Header(shown, "utf-8").encode())
        if ranges:
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", f'"{len(data):x}"')
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        self.end_headers()
        with self.tardis.lock:
            self.tardis.open += 1
        try:
            for at in range(start, end, STEP):
                stop = self.tardis.stop_at
                piece = data[at : min(at + STEP, end)]
                if stop is not None and at + len(piece) > stop:
                    self.wfile.write(piece[: max(0, stop - at)])
                    self.wfile.flush()
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.wfile.write(piece)
                if self.tardis.rate:
                    self.wfile.flush()
                    time.sleep(len(piece) / self.tardis.rate)
            self.wfile.flush()
        finally:
            with self.tardis.lock:
                self.tardis.open -= 1


class _Store(_Base):
    """As an object store with presigned addresses: it refuses whoever shows another identity besides."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.tardis.log.append((self.command, "STORE" + self.path, dict(self.headers)))
        if "Authorization" in self.headers or "X-Amz-Signature" not in parts.query:
            self.send(400, b"<Error><Code>InvalidArgument</Code></Error>", "application/xml")
            return
        file = self.tardis.site.files[int(parts.path.rpartition("/")[2])]
        self.send_bytes(file.content, "binary/octet-stream", True)


class _Handler(_Base):
    def do_GET(self) -> None:
        self._answer()

    do_POST = do_HEAD = do_GET  # noqa: N815

    def _answer(self) -> None:
        tardis = self.tardis
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        tardis.log.append((self.command, self.path, dict(self.headers)))
        if tardis.latency:
            time.sleep(tardis.latency)
        if tardis.page is not None:
            self.send(tardis.page[0], tardis.page[1].encode())
            return
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
        try:
            if parts.path == "/login/":
                self._login()
            elif not parts.path.endswith("/"):
                self.send(301, Location=parts.path + "/" + ("?" + parts.query if parts.query else ""))
            elif parts.path.startswith("/api/v1/"):
                self._api(parts.path[len("/api/v1/") :].strip("/").split("/"), query)
            elif match := re.fullmatch(r"/vbl/datafile/(\d+)/", parts.path):
                self._provider(int(match[1]))
            else:
                self.send(404, b"<html><h1>Not Found</h1></html>")
        except Refused as refused:
            if refused.value is None:
                self.send(refused.status)
            elif isinstance(refused.value, str):
                self.send(refused.status, refused.value.encode())
            else:
                self._json(refused.value, refused.status)

    # -- who asks

    def _who(self, session_only: bool = False) -> User | None:
        """401, without a body, for what is wrong; None for nobody."""
        site = self.tardis.site
        given = self.headers.get("Authorization")
        if given is None or session_only:
            cookie = SimpleCookie(self.headers.get("Cookie") or "").get("sessionid")
            return site.users.get(self.tardis.sessions.get(cookie.value, "")) if cookie else None
        scheme, _, value = given.partition(" ")
        if scheme == "Basic":
            value = base64.b64decode(value).decode()
        name, _, secret = value.partition(":")
        user = site.users.get(name)
        right = {"ApiKey": user and user.api_key, "Basic": user and user.password}.get(scheme)
        if user is None or not secret or right != secret:
            raise Refused(401)
        return user

    def _login(self) -> None:
        form = {key: values[0] for key, values in parse_qs(self.body.decode()).items()}
        cookies = SimpleCookie(self.headers.get("Cookie") or "")
        csrf = cookies["csrftoken"].value if "csrftoken" in cookies else ""
        if self.command == "GET":
            cookie = f"csrftoken={secrets.token_hex(16)}; Path=/; SameSite=Lax"
            self.send(200, b"<html><form>log in</form></html>", Set_Cookie=cookie)
            return
        if not csrf or form.get("csrfmiddlewaretoken") != csrf or not self.headers.get("Referer"):
            self.send(403, b"<html>CSRF verification failed</html>")
            return
        user = self.tardis.site.users.get(form.get("username", ""))
        if user is None or form.get("password") != user.password or form.get("authMethod") != "localdb":
            self.send(401, b"<html><form>Sorry, username and password don't match.</form></html>")
            return
        session = secrets.token_hex(16)
        self.tardis.sessions[session] = user.username
        self.send(302, Location="/", Set_Cookie=f"sessionid={session}; HttpOnly; Path=/")

    # -- the API

    def _api(self, path: list[str], query: Query) -> None:
        tardis = self.tardis
        who = self._who()
        api = Api(tardis.site, who, query.get("token", ""), tardis.old)
        match path:
            case [""]:
                self._json(api.index(tardis.hsm))
            case ["dataset_file", id, "download"] if id.isdigit():
                self._download(api, int(id))
            case ["dataset", id, ("root-dir-nodes" | "child-dir-nodes") as kind] if id.isdigit() and not tardis.old:
                self._nodes(api, int(id), kind, query)
            case [("hsm_replica" | "hsm_dataset"), id, what] if tardis.hsm and id.isdigit():
                self._hsm(api, path[0], int(id), what)
            case ["s3utils_replica", id, "download"] if tardis.redirect:
                self.send(302, Location=f"{tardis.store_url}/bucket/{id}?X-Amz-Signature=s")
            case [resource, "set", ids]:
                self._json(api.set(resource, [int(id) for id in ids.split(";")]))
            case [resource]:
                value, rows, total = api.list(resource, query)
                time.sleep(tardis.row_cost * rows + tardis.page_cost * total)
                self._json(value)
            case [resource, id] if id.isdigit():
                self._json(api.detail(resource, int(id)))
            case _:
                raise Refused(404)

    def _nodes(self, api: Api, id: int, kind: str, query: Query) -> None:
        dataset = api.site.datasets.get(id)
        if dataset is None:
            raise Refused(404, {"error_message": "Dataset matching query does not exist."})
        if not api.shown & set(dataset.experiments):
            raise Refused(403)
        made = (nodes.root if kind == "root-dir-nodes" else nodes.child)(api.site, id, query, self.tardis.hsm)
        files = sum("id" in node for node in made)
        time.sleep(4 * self.tardis.row_cost * files)  # 100 files were seen to take a second
        self._json(made)

    def _hsm(self, api: Api, kind: str, id: int, what: str) -> None:
        if kind == "hsm_dataset":
            files = [file for file in api.site.files.values() if file.dataset == id]
            online = sum(not file.offline for file in files)
            self._json({"online_files": online, "total_files": len(files)})
            return
        file = api.site.files[id]
        if file.box != "tape-box":
            raise Refused(500, {"error_message": "StorageClassNotSupportedError"})
        if what == "online":
            self._json({"online": not file.offline})
        else:
            self.tardis.recalls.append(id)
            self._json({"message": f"Recall requested for DFO {id}"})

    # -- bytes

    def _download(self, api: Api, id: int) -> None:
        tardis = self.tardis
        if self.command == "HEAD":
            raise Refused(405)
        file = tardis.site.files.get(id)
        if file is None:
            raise Refused(404, {"error_message": "Not found"})
        if not tardis.site.downloadable(file, api.who, api.token):
            raise Refused(403)
        if file.protocol not in ("", "file"):
            message = f"Url {file.url} does not belong to the local destination"
            raise Refused(500, {"error_message": message, "traceback": ""})
        if not file.verified:
            raise Refused(404)
        if tardis.redirect:
            self.send(302, Location=f"/api/v1/s3utils_replica/{id}/download/")
        elif tardis.bypassed:
            self.send(200, b"", file.mimetype, X_Accel_Redirect=f"/protected/{id}")
        elif file.gone:
            self._gone()
        elif tardis.nginx and file.box == "lab-disk":
            self.send_bytes(file.content, "application/force-download", True)
        else:
            size = len(file.data) if file.size in (None, -1) else file.size
            self.send_bytes(file.content, file.mimetype, False, size, file.filename)

    def _gone(self) -> None:
        if self.tardis.nginx:
            self.send(404, b"<html><head><title>404 Not Found</title></head><body>nginx</body></html>")
            return
        message = "Sorry, this request could not be processed. Please try again later."
        raise Refused(500, {"error_message": message})

    def _provider(self, id: int) -> None:
        """The view of a custom download provider: for sessions only, and without a length."""
        file: DataFile | None = self.tardis.site.files.get(id)
        who = self._who(session_only=True)
        if who is None or file is None or not self.tardis.site.downloadable(file, who, ""):
            self.send(403, b"<html>403 Forbidden</html>")
            return
        self.send_response(200)
        self.send_header("Content-Type", file.mimetype)
        self.send_header("Content-Disposition", f'attachment; filename="{file.filename}"')
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(file.content)
        self.close_connection = True

    def _json(self, value: Any, status: int = 200) -> None:
        self.send(status, json.dumps(value).encode(), "application/json")
