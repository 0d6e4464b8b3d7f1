"""Which servers a program may talk to that fetches what strangers name: no way into the network that it stands in.

The address that a connection is made to is judged, after the name was resolved and for each connection anew, so that
neither a redirect nor a name that resolves to something else the second time leads anywhere else.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util.connection import create_connection

from ..errors import ConfigError, NotPermitted, Unreachable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
ANY = "*"
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_PORTS = {"http": 80, "https": 443}


class Policy:
    """`allow_hosts`: names with or without a port, addresses and networks (`10.1.0.0/16`), `*.example.org`, `*`.

    Only what one of them names may be reached; private addresses (loopback, link-local, the networks of RFC 1918 and
    the like) only where a name, an address or a network says so without a `*`. Pure; any thread.
    """

    def __init__(self, allow_hosts: Iterable[str] = (ANY,), place: str = "allow_hosts") -> None:
        """ConfigError, which begins with `place`, if one of them is nothing of that."""
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        self._names: set[tuple[str, int | None]] = set()
        self._patterns: list[str] = []
        for entry in allow_hosts:
            self._add(entry.strip().lower(), place)

    def _add(self, entry: str, place: str) -> None:
        wrong = ConfigError(f"{place}: a host, host:port, network or *.domain was expected, not {entry!r}")
        if not entry or "//" in entry or "@" in entry:
            raise wrong
        if "*" in entry:
            if entry != ANY and not entry.startswith("*."):
                raise wrong
            self._patterns.append(entry)
            return
        try:
            self._networks.append(ipaddress.ip_network(entry))
            return
        except ValueError:
            if "/" in entry:
                raise wrong from None
        try:
            parts = urlsplit(f"//{entry}")
            host, port = parts.hostname, parts.port
        except ValueError:
            raise wrong from None
        if not host:
            raise wrong
        self._names.add((host, port))

    def check_url(self, url: str) -> None:
        """NotPermitted for an address that is refused by its look, before anybody is asked."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme)
        except ValueError:
            raise NotPermitted("this is no address of a server") from None
        if parts.scheme not in _PORTS or not host or port is None:
            raise NotPermitted("Only http and https resources may be fetched.")
        if not self._named(host, port) and not self._matches(host) and not self._networks:
            raise NotPermitted(f"{host} is not one of the allowed hosts")

    def permits(self, host: str, port: int, address: str) -> bool:
        """Whether a connection to `address`, which `host` resolved to, may be made."""
        try:
            found = _plain(ipaddress.ip_address(address.partition("%")[0]))
        except ValueError:
            return False
        host = host.lower().rstrip(".")
        if self._named(host, port) or any(found in network for network in self._networks):
            return True
        return self._matches(host) and found.is_global and not found.is_multicast

    def _named(self, host: str, port: int) -> bool:
        return (host, None) in self._names or (host, port) in self._names

    def _matches(self, host: str) -> bool:
        return any(fnmatchcase(host, pattern) for pattern in self._patterns)


class Reach:
    """Connections within `policy`, which can be cut all at once. One for each piece of work that has a deadline."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self.ended = ""

    def adapter(self) -> HTTPAdapter:
        """For a session of the HTTP library."""
        return _Adapter(self)

    def connect(self, host: str, port: int, **options: Any) -> socket.socket:
        """A connection. NotPermitted, or OSError."""
        refused = ""
        failure: OSError | None = None
        for *_, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            address = str(place[0])
            if not self.policy.permits(host, port, address):
                refused = refused or address
                continue
            try:
                made = create_connection((address, port), **options)
            except OSError as error:
                failure = error
                continue
            self._keep(made)
            return made
        if failure is not None:
            raise failure
        which = "" if refused == host else f" ({refused})"
        raise NotPermitted(f"{host}{which} may not be reached: see allow_hosts in the configuration of this service")

    def cut(self, why: str) -> None:
        """Every connection ends now, whoever waits for it; later ones are refused with `why`."""
        with self._lock:
            self.ended = self.ended or why
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
            self._open.clear()

    def _keep(self, made: socket.socket) -> None:
        # A second handle on the same connection: the library wraps, detaches and closes the one that it gets.
        with self._lock:
            if self.ended:
                made.close()
                raise Unreachable(self.ended)
            self._open.append(made.dup())


def _plain(address: Address) -> Address:
    """The IPv4 address where an IPv6 one only carries that."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address.teredo is not None:
            return address.teredo[1]
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


class _Adapter(HTTPAdapter):
    """Its pools connect through a Reach."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        reach = self._reach

        def connect(connection: HTTPConnection) -> socket.socket:
            try:
                return reach.connect(
                    connection.host, connection.port, timeout=connection.timeout,
                    source_address=connection.source_address, socket_options=connection.socket_options,
                )  # fmt: skip
            except TimeoutError as error:
                raise ConnectTimeoutError(connection, f"no connection to {connection.host} in time") from error
            except OSError as error:
                raise NewConnectionError(connection, f"Failed to establish a new connection: {error}") from error

        plain = type("Plain", (HTTPConnection,), {"_new_conn": connect})
        secure = type("Secure", (HTTPSConnection,), {"_new_conn": connect})
        self.poolmanager.pool_classes_by_scheme = {
            "http": type("Pool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("Pool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
        }
