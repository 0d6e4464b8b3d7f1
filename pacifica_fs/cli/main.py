"""`pacifica-fs`: chooses a command, and turns every error into one sentence and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from .. import __version__
from ..errors import ConfigError, PacificaFSError
from . import codes
from .codes import Exit, Failed

COMMANDS = {
    "mount": "Mount the archives of a configuration on a folder.",
    "umount": "Unmount.",
    "status": "Show uploads, downloads, the cache and the archives.",
    "wait": "Wait until a bundle is ingested or needs somebody.",
    "retry": "Try a held or failed bundle again.",
    "discard": "Forget a bundle and its files.",
    "safe-to-delete": "Say which files of a folder are in an archive, verified.",
    "drop": "Put a folder into the drop without writing it twice.",
    "fetch": "Fetch files into the cache, or copy them out.",
    "evict": "Remove files from the cache.",
    "verify": "Compare what is in the cache with its digests.",
    "pin": "Keep files in the cache.",
    "recall": "Have files brought back from an archive's tapes.",
    "events": "Receive CloudEvents over HTTP and hand them to the mount.",
    "datapusher": "Load files of CKAN sites into their DataStore, as a service.",
    "ls": "List folders of the archives, without a mount.",
    "cat": "Write files of the archives to standard output, without a mount.",
    "cp": "Copy from the archives, or into the drop, without a mount.",
    "init": "Write a commented configuration from what other programs know.",
    "check": "Check the configuration, FUSE and each archive; or a sidecar.",
    "install": "Put units, man pages, completions and mount.pacifica-fs in place.",
    "report": "Collect what a bug report needs, without secrets.",
    "demo": "Try everything out, without a server.",
}


class Commands(click.Group):
    """The commands, each imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order in which people need them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name; None if there is none."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f".{cmd_name.replace('-', '_')}", __package__).command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find the command, and say what there is if it is unknown."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            ctx.fail(f"there is no command '{args[0]}'; there are {', '.join(COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of `--help`, made without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; its result is the exit code. Errors become one sentence, a lost reader silence."""
        ctx.exit(int(guarded(lambda: super(Commands, self).invoke(ctx))))


def guarded(work: Any) -> Exit:
    """The exit code of `work()`, with all foreseen errors told on standard error."""
    from .output import complain

    try:
        result = work()
        sys.stdout.flush()
    except Failed as error:
        complain(error)
        return error.code
    except ConfigError as error:
        complain(error)
        return Exit.USAGE
    except PacificaFSError as error:
        complain(error)
        return Exit.FAILED
    except BrokenPipeError:
        # The interpreter flushes at its end and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.BROKEN_PIPE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        complain(f"{where}{error.strerror or error}")
        return Exit.FAILED
    except (KeyboardInterrupt, click.Abort):
        return Exit.INTERRUPTED
    return Exit(result or 0)


EPILOG = "\b\nExit codes:\n" + codes.table() + "\n\nMore: docs/ in the source, and README.txt in every mount."


@click.group(
    cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, "-V", "--version", prog_name="pacifica-fs", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Scientific data archives as a folder: read what they hold, and drop what they should take.

    \b
    pacifica-fs mount ~/archives            # with no configuration: one local archive, no server
    cp -r run-42 ~/archives/drop/here/      # a folder becomes a bundle
    touch ~/archives/drop/here/run-42/.commit
    pacifica-fs wait run-42                 # until it is ingested
    ls ~/archives/here/transactions/
    pacifica-fs umount ~/archives
    """
    if context.obj is None:
        from .rooms import Rooms

        context.obj = Rooms(os.environ)


def main() -> None:
    """The console script."""
    cli(prog_name="pacifica-fs")
