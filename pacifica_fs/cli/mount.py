"""`pacifica-fs mount`."""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec

from .. import config
from ..config import Config
from ..errors import ConfigError, PacificaFSError
from . import options
from .codes import Exit
from .find import real
from .options import Parsed
from .outside import Outside

HELP = """Mount the archives of a configuration on DIR, an empty folder.

SOURCE is a configuration file, as -c, or the address of one archive, with which no configuration is needed:
KIND+https://…, and its options behind a `?`. The archive's folder is called as the last part of the address.

Without -f it returns when the mount answers, and the daemon goes on in the background; if it cannot be mounted, the
reason and the remedy are printed and the exit code is not 0.

Without -c the configuration is /etc/pacifica-fs/config.toml with ~/.config/pacifica-fs/config.toml on top of it;
without any file it is one `local` archive called `here`, in a folder of your own, with no server at all.

\b
Options for -o, separated by commas:
  config=FILE    the same as -c
  allow_other    let other users in, as far as the modes of [mount] access go
                 (needs user_allow_other in /etc/fuse.conf unless you are root)
  uid=, gid=     whose the files are shown to be, by name or number (default: who mounts)
  metrics_listen=ADDRESS   as --metrics-listen
  fsname=NAME    what df and mount show (default: the configuration file)
  nosuid, nodev, noexec, noatime, …   passed on
  defaults, noauto, user, _netdev, nofail, x-…   accepted, for fstab
  ro             refused: archives are read-only anyway, and drop/ must be writable

\b
Examples:
  pacifica-fs mount ~/archives
  pacifica-fs mount -c site.toml -o allow_other,uid=data /srv/archives
  pacifica-fs mount -f -v -c site.toml /srv/archives     # in a terminal, with its log
  pacifica-fs mount ckan+https://data.example.org ~/open
  pacifica-fs mount djarchive+https://s3.example.org/BUCKET ~/elements
  pacifica-fs mount 'pacifica+https://policy.example.org?cart=https://cart.example.org' ~/emsl
"""


@click.command("mount", help=HELP, short_help="Mount the archives of a configuration on a folder.")
@click.option("-c", "--config", "file", type=Path, metavar="FILE", help="The configuration.")
@click.option("-f", "--foreground", is_flag=True, help="Stay in the foreground; the log goes to standard error.")
@click.option("-o", "texts", multiple=True, metavar="OPTIONS", help="Mount options, see above.")
@click.option(
    "--metrics-listen", "listen", metavar="[HOST:]PORT", help="Answer Prometheus at http://HOST:PORT/metrics."
)
@click.option("-v", "--verbose", count=True, help="Log more; twice: every request.")
@click.argument("where", nargs=-1, required=True, metavar="[SOURCE] DIR")
@click.pass_obj
def command(
    outside: Outside,
    file: Path | None,
    foreground: bool,
    texts: tuple[str, ...],
    listen: str | None,
    verbose: int,
    where: tuple[str, ...],
) -> Exit:
    """Mount."""
    if len(where) > 2:
        raise click.UsageError(f"one SOURCE and one DIR, not {' '.join(where)}")
    dir, source = Path(where[-1]), where[0] if len(where) == 2 else ""
    given = [*texts, *([f"metrics_listen={listen}"] if listen else [])]
    if not foreground:
        return mount(outside, file, dir, options.parse(given), False, verbose, source)
    # Somebody may be waiting for this daemon, and must hear why it ends, whatever it is.
    try:
        return mount(outside, file, dir, options.parse(given), True, verbose, source)
    except PacificaFSError as error:
        outside.failed(str(error), Exit.USAGE if isinstance(error, ConfigError) else Exit.FAILED)
        raise
    except Exception as error:
        outside.failed(f"this is a bug: {error!r}; run it with -f to see more", Exit.FAILED)
        raise


def mount(
    outside: Outside,
    file: Path | None,
    dir: Path,
    parsed: Parsed,
    foreground: bool = False,
    verbosity: int = 0,
    source: str = "",
) -> Exit:
    """Mount with parsed options; ConfigError or another PacificaFSError with the remedy if it cannot be done.

    `source` is a configuration file, or the address of an archive.
    In the foreground it returns after the unmount, else as soon as the mount answers.
    """
    if file is not None and parsed.config is not None and real(file) != real(parsed.config):
        raise ConfigError(f"-c {file} and -o config={parsed.config} contradict each other; give one of them")
    file = parsed.config if file is None else file
    url = source if "://" in source else ""
    if source and file is not None:
        raise ConfigError(f"{source} and the configuration {file} contradict each other; give one of them")
    if source and not url:
        file = Path(source)
    # libfuse changes into /, so everything that comes later must be absolute.
    file = None if file is None else Path(os.path.abspath(file.expanduser()))
    mountpoint = real(dir)
    configuration = outside.of_url(url) if url else config.load(file, outside.environ)
    places = config.places(configuration, outside.environ)
    if url:
        # Two archives of one name must not share what is kept of them.
        places = config.apart(places, url)
        parsed = msgspec.structs.replace(parsed, fsname=parsed.fsname or url)
    parsed = completed(parsed, configuration, file)
    if foreground:
        outside.serve(configuration, places, mountpoint, parsed, verbosity)
    else:
        outside.start(arguments(file, mountpoint, parsed, verbosity, url))
    return Exit.OK


def completed(parsed: Parsed, configuration: Config, file: Path | None) -> Parsed:
    """The options with what the configuration adds to them."""
    return options.with_defaults(parsed, configuration, file)


def arguments(file: Path | None, mountpoint: Path, parsed: Parsed, verbosity: int, url: str = "") -> list[str]:
    """The command line, after the interpreter, of the daemon that serves this mount."""
    words = ["-m", "pacifica_fs", "mount", "-f"]
    if file is not None:
        words += ["-c", str(file)]
    if verbosity:
        words.append("-" + "v" * verbosity)
    text = options.text(parsed)
    if text:
        words += ["-o", text]
    return [*words, "--", *filter(None, [url]), str(mountpoint)]
