"""What a user may write into a sidecar, as texts: `.choices/METAID`, `.template.json` and `.example/metadata.json`.

Asking is the caller's to bound: one text may cost a question for each of a user's projects.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ...errors import BadAnswer, Denied, Invalid, NotFound
from ...model import Metadata
from .filling import Ask, Row, fill
from .template import Entry, Query, Template

CHOICES, TEMPLATE, EXAMPLE, SIDECAR = ".choices", ".template.json", ".example", "metadata.json"
ALL = "all"
FEW = 16
"""Parents whose children are asked for where nothing narrows a choice."""
TRIES = 12
"""Pairs of project and instrument that are tried for an example."""
Refused = Callable[[Mapping[str, str]], bool]


def names(template: Template, path: Sequence[str]) -> Sequence[str] | None:
    """What is in the folder `path`, or None where it is a text. NotFound. Asks nobody.

    An entry that depends on others is a folder: `all`, and any `METAID=VALUE,…` of what it depends on.
    """
    match tuple(path):
        case ():
            return (CHOICES, EXAMPLE, TEMPLATE)
        case (".choices",):
            return [entry.id for entry in template.entries]
        case (".example",):
            return (SIDECAR,)
        case (".template.json",) | (".example", "metadata.json"):
            return None
        case (".choices", id) if id in template:
            return (ALL,) if template.above(id) else None
        case (".choices", id, name) if id in template and (above := template.above(id)):
            given = narrowing(name)
            if name == ALL or (given and given.keys() <= {entry.id for entry in above}):
                return None
    raise NotFound("/".join(path))


def narrowing(name: str) -> dict[str, str]:
    """`project=1234a,instrument=54` as values; empty where it is nothing like that."""
    pairs = [part.partition("=") for part in name.split(",")]
    return {key: value for key, _, value in pairs} if all(key and value for key, _, value in pairs) else {}


def text(template: Template, path: Sequence[str], ask: Ask, submitter: str, refused: Refused) -> str:
    """The text at `path`, for the user `submitter` (a number, as whom `ask` asks).

    Invalid for a value that makes no sense to the site, Denied where there is no example; and what `ask` raises.
    """
    if path[0] == TEMPLATE:
        return template.text if template.text.endswith("\n") else template.text + "\n"
    if path[0] == EXAMPLE:
        return json.dumps(example(template, ask, submitter, refused), indent=2, ensure_ascii=False) + "\n"
    given = narrowing(path[2]) if len(path) > 2 else {}
    return listing(template, template[path[1]], given, ask, submitter)


def listing(template: Template, entry: Entry, given: Mapping[str, str], ask: Ask, submitter: str) -> str:
    """A line for each choice, in the site's form; the value is added where that does not show it."""
    if not entry.asks:
        return f"# {entry.name}: any text. {_preset(entry)}\n".replace(" \n", "\n")
    values = {one.id: submitter for one in template.entries if one.field == "submitter"} | dict(given)
    try:
        rows = list(_rows(template, entry, values, ask))
    except BadAnswer as error:
        if given:
            raise Invalid(f"the site cannot say what {entry.name} is for {dict(given)}: {error}") from error
        raise
    lines = list(dict.fromkeys(_line(entry, row) for row in rows if entry.value_of(row)))
    if not lines:
        lines = ["# The site lists none for you" + (" with these values." if given else ".")]
    if not entry.listed:
        lines.insert(0, f"# {entry.name}: any text; the site suggests:")
    return "\n".join(lines) + "\n"


def example(template: Template, ask: Ask, submitter: str, refused: Refused) -> Mapping[str, Any]:
    """A sidecar in the short form that policy takes from this user today; Denied if none is found."""
    texts = {entry.id: entry.title or entry.id for entry in template.entries if not entry.asks and not entry.preset}
    for project, instrument in _pairs(ask):
        given = Metadata({**texts, "project": project, "instrument": instrument})
        found = fill(template, given, ask, submitter, first=True)
        have = {name: found.metadata.fields[name] for name in ("project", "instrument")}
        if found.problems or refused(have):
            continue
        # Only what has to be said: the rest is found without it.
        enough = fill(template, given, ask, submitter)
        said = [entry for entry in template.entries if entry.id in texts or entry.id not in enough.values]
        keys = {entry.pair: found.values[entry.id] for entry in said if entry.pair}
        others = {entry.id: found.values[entry.id] for entry in said if not entry.pair and not entry.field}
        number = int(instrument) if instrument.isdecimal() else instrument
        return {"project": project, "instrument": number, **others, **({"keys": keys} if keys else {})}
    raise Denied("the site lists nothing that you may upload to; ask it for the right")


def _rows(template: Template, entry: Entry, values: Mapping[str, str], ask: Ask) -> Iterator[Row]:
    """Rows to choose from; over all choices of a parent that nothing narrows, if these are few."""
    unknown = [template[parent] for parent in entry.parents.values() if parent not in values]
    if not unknown:
        yield from ask(entry.query(values))
        return
    parent = unknown[0]
    found = {parent.value_of(row) for row in _rows(template, parent, values, ask)} if parent.asks else set()
    choices = sorted(filter(None, found))
    if not choices or len(choices) > FEW:
        yield from ask(entry.query(values))
        return
    for choice in choices:
        yield from _rows(template, entry, {**values, parent.id: choice}, ask)


def _pairs(ask: Ask) -> Iterator[tuple[str, str]]:
    """Projects and instruments that may go together for a user."""
    tried = 0
    for project in ask(Query("projects", ("_id",))):
        where = (("project_id", str(project["_id"])),)
        for instrument in ask(Query("instruments", ("_id",), where)):
            yield str(project["_id"]), str(instrument["_id"])
            tried += 1
            if tried >= TRIES:
                return


def _line(entry: Entry, row: Row) -> str:
    line, value = entry.line(row), entry.value_of(row)
    return line if value in line else f"{line} = {value}"


def _preset(entry: Entry) -> str:
    return f"The site's own value: {entry.preset}" if entry.preset else ""
