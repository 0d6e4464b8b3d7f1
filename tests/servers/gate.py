"""An authenticating reverse proxy (nginx) in front of a site, as sites have one: no Pacifica service asks who it is."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from .certificates import make_certificates, make_client_certificate
from .front import SERVICES
from .guard import Guard
from .pacifica import Site
from .process import LOOPBACK, Process, free_ports, listening

_SERVER = """
server {{
  listen {address}:{port} {listen};
  {who}
  {locations}
}}
"""
_CONFIGURATION = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  log_format who '$status $remote_user $ssl_client_s_dn $request_method $uri';
  access_log {folder}/access.log who;
  client_max_body_size 0;
  proxy_request_buffering off;
  proxy_buffering off;
  proxy_http_version 1.1;
  proxy_read_timeout 600s;
  {servers}
}}
"""


class Unavailable(Exception):
    """It cannot be run here; the message says what to install."""


class Gate:
    """nginx in front of `site`: `passwords` is asked for a password over http, `certificates` for a client certificate
    over https. Both are addresses below which each service has its name as a path. `ca` is the authority's file,
    `cert` and `key` those of a person it knows. For one thread at a time; open until `close`.
    """

    def __init__(self, site: Site, guard: Guard) -> None:
        nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
        if nginx is None:
            raise Unavailable("nginx is missing: apt-get install nginx-light")
        self.site = site
        self.folder = Path(tempfile.mkdtemp(prefix="pacifica-gate-"))
        guard.folder(self.folder)
        self.ca = make_certificates(self.folder)
        self.cert, self.key = make_client_certificate(self.folder, site.logon)
        self._ports = free_ports(2)
        self.passwords = f"http://{LOOPBACK}:{self._ports[0]}"
        self.certificates = f"https://{LOOPBACK}:{self._ports[1]}"
        self.set_password("")
        (self.folder / "nginx.conf").write_text(self._configuration())
        self._process = Process(
            "nginx",
            [nginx, "-c", str(self.folder / "nginx.conf"), "-p", str(self.folder), "-e", "stderr"],
            guard=guard,
            log=self.folder / "nginx.log",
            env=dict(os.environ),
            cwd=self.folder,
        )
        self._process.start()
        self._process.wait(lambda: all(map(listening, self._ports)), time.monotonic() + 30)

    def __enter__(self) -> Gate:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def set_password(self, password: str) -> None:
        """The password of `site.logon` from now on; "" for none that is right."""
        new = self.folder / "passwords.new"
        new.write_text(f"{self.site.logon}:{{PLAIN}}{password}\n" if password else "")
        new.replace(self.folder / "passwords")

    def table(self, base: str, **options: Any) -> Mapping[str, Any]:
        """An `[archives.NAME]` table with all services, through the gate at `base`."""
        addresses = {name: f"{base}/{name}" for name in SERVICES}
        return {"kind": "pacifica", "user": self.site.logon, **addresses, **options}

    def requests(self) -> list[tuple[int, str, str]]:
        """Status, who it was, and `METHOD /service/…` of all requests until now."""
        found = []
        for line in (self.folder / "access.log").read_text().splitlines():
            status, user, rest = line.split(" ", 2)
            subject, method, path = rest.rsplit(" ", 2)
            found.append((int(status), user if user != "-" else subject.removeprefix("CN="), f"{method} {path}"))
        return found

    def close(self) -> None:
        """End it and remove its folder."""
        self._process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _configuration(self) -> str:
        locations = "\n  ".join(f"location /{name}/ {{ proxy_pass {getattr(self.site, name)}/; }}" for name in SERVICES)
        basic = f'auth_basic "this site"; auth_basic_user_file {self.folder}/passwords;'
        client = (
            f"ssl_certificate {self.folder}/leaf.pem; ssl_certificate_key {self.folder}/leaf.key; "
            f"ssl_client_certificate {self.ca}; ssl_verify_client on;"
        )
        servers = [
            _SERVER.format(address=LOOPBACK, port=port, listen=listen, who=who, locations=locations)
            for port, listen, who in zip(self._ports, ("", "ssl"), (basic, client), strict=True)
        ]
        return _CONFIGURATION.format(
            user="user root;" if os.geteuid() == 0 else "", folder=self.folder, servers="".join(servers)
        )
