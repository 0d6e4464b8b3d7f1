"""The ways to transactions that a site offers, by which of its services are configured."""

from __future__ import annotations

from ...model import View

RECENT = 100
_TERMS = {
    "project": "a project's id",
    "instrument": "an instrument's number",
    "user": "who submitted it: a login name or number",
    "after": "2020, 2020-05 or 2020-05-17: submitted then or later (UTC)",
    "before": "the same: submitted before it began",
}
_LINKED = {
    "key": "a key of the transaction",
    "value": "its value; only together with key",
    "released": "yes: released to the public",
}
_METADATA = 'Only the site\'s metadata service can tell: set metadata = "https://…" for this archive.'


def views(metadata: bool) -> tuple[View, ...]:
    """With the metadata service, or with policy alone, which lists what its user may upload to, and knows no links."""
    missing = "" if metadata else _METADATA
    return (
        # A number is asked for by itself: its row is small, the listing is not, and all about it is larger still.
        View("transactions", purpose="every transaction; any number that exists can be opened", unlisted=True),
        View("recent", newest=RECENT, purpose=f"the {RECENT} newest transactions"),
        View("projects", ("project",), purpose="by project", unlisted=not metadata),
        View("instruments", ("instrument",), purpose="by instrument", unlisted=not metadata),
        View("users", ("user",), purpose="by who submitted it", unlisted=not metadata),
        View("dates", ("year", "month", "day"), purpose="by the day of its submission (UTC)", missing=missing),
        View("keys", ("key", "value"), purpose="by its keys and their values", missing=missing),
        View("released", purpose="those that were released", where={"released": "yes"}, missing=missing),
        View("search", purpose="by several of these at once", terms=_TERMS | (_LINKED if metadata else {})),
    )
