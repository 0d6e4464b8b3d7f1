"""The composition root of `pacifica-fs datapusher`: configuration in, a WSGI application and its worker out.

`application` is the entry for other WSGI servers: `uwsgi --module pacifica_fs.service.pusher:application`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from .. import __version__, config
from ..clock import Clock, SystemClock
from ..config import Config, Places
from ..errors import ConfigError
from ..transport.credentials import Secrets
from ..transport.reach import Policy

if TYPE_CHECKING:
    from ..archives.ckan.datapusher.runner import Runner

NAME = "datapusher"
CONFIG = "PACIFICA_FS_CONFIG"
"""The environment's variable with the configuration file, for `application`."""


class Pusher(msgspec.Struct, frozen=True):
    """The service: start and stop `runner`, serve `application`."""

    runner: Runner
    application: Any


def check(settings: Config) -> Policy:
    """The policy of `[datapusher]`, checked as a whole; ConfigError."""
    source = " and ".join(settings.sources) or "the configuration"
    found = settings.datapusher
    for key in ("jobs", "max_waiting", "max_download", "download_timeout", "job_timeout", "read_timeout"):
        if getattr(found, key) < 1:
            raise ConfigError(f"{source}: datapusher.{key}: at least 1 was expected, not {getattr(found, key)}")
    if not found.connect_timeout:
        raise ConfigError(f"{source}: datapusher.connect_timeout: more than 0 was expected")
    if isinstance(found.ca_bundle, str) and not Path(found.ca_bundle).expanduser().exists():
        raise ConfigError(f"{source}: datapusher.ca_bundle: there is no file {found.ca_bundle}")
    return Policy(found.allow_hosts, f"{source}: datapusher.allow_hosts")


def build(settings: Config, places: Places, clock: Clock, environ: Mapping[str, str]) -> Pusher:
    """Everything but the server. ConfigError. Contacts nobody."""
    policy = check(settings)
    try:
        from ..archives.ckan.datapusher.runner import Runner
        from ..archives.ckan.datapusher.web import application
        from ..archives.ckan.datapusher.work import World
    except ImportError as error:
        raise ConfigError(f"{error}; install it: pip install 'pacifica-fs[{NAME}]'") from error
    verify = settings.datapusher.ca_bundle
    world = World(
        settings.datapusher, policy, places.state / NAME, clock, f"pacifica-fs/{__version__}",
        str(Path(verify).expanduser()) if isinstance(verify, str) else verify,
    )  # fmt: skip
    runner = Runner(world)
    secret = Secrets(NAME, environ).get("secret", configured=settings.datapusher.secret)
    return Pusher(runner, application(runner, secret))


_made: list[Any] = []


def application(environ: dict[str, Any], start_response: Any) -> Any:
    """A WSGI application of the configuration that `PACIFICA_FS_CONFIG` names, or of the usual files.

    The first process that answers works on the jobs; if it ends, another one does.
    """
    if not _made:
        from .log import configure

        configure(True, 0, "text", os.environ)
        file = os.environ.get(CONFIG)
        settings = config.load(Path(file) if file else None)
        pusher = build(settings, config.places(settings), SystemClock(), os.environ)
        pusher.runner.start()
        _made.append(pusher.application)
    return _made[0](environ, start_response)
