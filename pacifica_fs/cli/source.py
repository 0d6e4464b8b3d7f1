"""The option `-c` of commands that read a configuration: a file, or the address of one archive."""

from __future__ import annotations

from pathlib import Path

import click

from .. import config
from ..config import Config, Places
from .outside import Outside

OPTION = click.option(
    "-c", "--config", "source", metavar="SOURCE", default="", help="A configuration file, or the address of an archive."
)


def configured(outside: Outside, source: str) -> tuple[Config, Places]:
    """The configuration and its folders; ConfigError."""
    if "://" in source:
        settings = outside.of_url(source)
        return settings, config.apart(config.places(settings, outside.environ), source)
    settings = config.load(Path(source).expanduser() if source else None, outside.environ)
    return settings, config.places(settings, outside.environ)
