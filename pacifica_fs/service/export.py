"""Metrics for Prometheus besides `status/metrics`: a file for node_exporter, and an address to be asked at."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from ..errors import ConfigError

log = logging.getLogger(__name__)


def address(text: str) -> tuple[str, int]:
    """`HOST:PORT`, or `PORT` of this machine alone; ConfigError."""
    host, colon, port = text.rpartition(":")
    if not port.isdecimal() or not 0 <= int(port) < 65536 or (colon and not host):
        raise ConfigError(f"metrics.listen: HOST:PORT or PORT was expected, not '{text}'")
    return host.strip("[]") or "127.0.0.1", int(port)


def listen(text: str, render: Callable[[], str]) -> Callable[[], None]:
    """Answer GET /metrics at the address `text`; the returned function ends it. ConfigError if it cannot be had."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.split("?")[0] not in ("/", "/metrics"):
                self.send_error(404)
                return
            body = render().encode()
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE_PLAIN_0_0_4)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            log.debug("metrics: " + format, *args)

    try:
        server = ThreadingHTTPServer(address(text), Handler)
    except OSError as error:
        raise ConfigError(f"metrics.listen: {text}: {error.strerror}") from error
    server.daemon_threads = True
    Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    log.info("metrics at http://%s:%d/metrics", *server.server_address[:2])

    def end() -> None:
        server.shutdown()
        server.server_close()

    return end


def write(file: Path, text: str) -> None:
    """Replace `file` as a whole, as node_exporter's textfile collector wants it; an error is logged."""
    new = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        new.write_text(text)
        new.chmod(0o644)
        new.replace(file)
    except OSError as error:
        log.warning("%s: the metrics cannot be written: %s", file, error.strerror)
