"""Man pages, made from the same texts as `--help`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from .. import __version__


def pages(cli: click.Group) -> dict[str, str]:
    """File name → troff text: `pacifica-fs.1` and one for each command, and `mount.pacifica-fs.8`."""
    top = click.Context(cli, info_name="pacifica-fs")
    found = {"pacifica-fs.1": _page(cli, top, "pacifica-fs")}
    names = cli.list_commands(top)
    for name in names:
        command = cli.get_command(top, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=top)
        found[f"pacifica-fs-{name}.1"] = _page(command, context, f"pacifica-fs-{name}")
    found["pacifica-fs.1"] += _section("SEE ALSO", [", ".join(f"pacifica-fs-{name}(1)" for name in names)])
    found["mount.pacifica-fs.8"] = _helper(cli.get_command(top, "mount"))
    return found


def _page(command: click.Command, context: click.Context, title: str) -> str:
    short = command.get_short_help_str(200).rstrip(".")
    usage = " ".join(command.collect_usage_pieces(context))
    parts = [
        f'.TH {title.upper()} 1 "" "pacifica-fs {__version__}" "pacifica-fs"\n',
        _section("NAME", [f"{title} - {short[:1].lower()}{short[1:]}"]),
        _section("SYNOPSIS", [f"{context.command_path} {usage}"]),
        _section("DESCRIPTION", _paragraphs(command.help or "")),
    ]
    options = [record for param in command.get_params(context) if (record := param.get_help_record(context))]
    if options:
        parts.append(".SH OPTIONS\n" + "".join(_item(*record) for record in options))
    if isinstance(command, click.Group):
        listed = [(name, command.get_command(context, name)) for name in command.list_commands(context)]
        parts.append(".SH COMMANDS\n" + "".join(_item(n, c.get_short_help_str(200)) for n, c in listed if c))
    if command.epilog:
        parts.append(_section("NOTES", _paragraphs(command.epilog)))
    return "".join(parts)


def _helper(mount: click.Command | None) -> str:
    from . import mount_helper

    return "".join([
        f'.TH MOUNT.PACIFICA-FS 8 "" "pacifica-fs {__version__}" "pacifica-fs"\n',
        _section("NAME", ["mount.pacifica-fs - mount scientific data archives, as mount(8) calls it"]),
        _section("SYNOPSIS", ["mount -t pacifica-fs SOURCE DIR [-o OPTIONS]"]),
        _section("DESCRIPTION", _paragraphs(mount_helper.__doc__ or "")),
        _section("OPTIONS", _paragraphs((mount.help or "") if mount else "")),
    ])  # fmt: skip


def _paragraphs(text: str) -> Iterator[str]:
    """Paragraphs as click has them: one that begins with \\b keeps its lines."""
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        lines = paragraph.splitlines()
        if lines and lines[0].strip() == "\b":
            yield ".nf\n" + "\n".join(_text(line) for line in lines[1:]) + "\n.fi"
        elif all(line.startswith(" ") for line in lines):
            yield ".nf\n" + "\n".join(_text(line) for line in lines) + "\n.fi"
        else:
            yield _text(" ".join(line.strip() for line in lines))


def _section(title: str, paragraphs: Iterator[str] | list[str]) -> str:
    body = [
        part if part.startswith(".nf") else part if part.startswith(("\\", ".")) else _text(part) for part in paragraphs
    ]
    return f".SH {title}\n" + "\n.PP\n".join(body) + "\n"


def _item(name: str, text: str) -> str:
    return f".TP\n\\fB{_text(name)}\\fR\n{_text(text)}\n"


def _text(text: str) -> str:
    """Plain text as troff: nothing in it is a request or an escape."""
    if "\\e" in text or "\\-" in text:
        return text
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", escaped, flags=re.MULTILINE)
