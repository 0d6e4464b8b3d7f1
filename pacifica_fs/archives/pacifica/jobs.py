"""What ingest says about a job, as progress and as one plain sentence."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from ...errors import BadAnswer, Unreachable
from ...model import Progress
from .policy import refused
from .services import plain

_LAST_TASK = "ingest metadata"
_MISSING = re.compile(r"filename '([^']*)' not found")
_TOO_LONG = re.compile(r"value too long for type character varying\((\d+)\)")


def progress(state: Mapping[str, Any]) -> Progress:
    """An answer of `get_state`; Unreachable while the service cannot read its own database."""
    condition, task = state.get("state"), str(state.get("task") or "")
    if condition == "DATA_ACCESS_ERROR":
        raise Unreachable("the ingest service cannot read the state of the job")
    if condition not in ("OK", "FAILED") or "job_id" not in state:
        raise BadAnswer(f"not what an ingest service says: {plain(dict(state))}")
    percent = _percent(state.get("task_percent"))
    if condition == "FAILED":
        said = str(state.get("exception") or "")
        return Progress("failed", task, percent, sentence(task, said))
    # Older servers have no `complete`.
    if state.get("complete", task == _LAST_TASK and percent >= 100):
        return Progress("done", task, percent, container=str(state["job_id"]))
    return Progress("", task, percent)


def sentence(task: str, said: str) -> str:
    """Why a job failed at `task`, from the server's exception text (which may be a traceback)."""
    reason = _reason(said)
    missing = _MISSING.search(said)
    if task in ("UPLOADING", "open tar"):
        return "the upload arrived damaged or cut off; it can be sent again"
    if task == "load metadata":
        return f"the site cannot read the upload's metadata: {reason}"
    if task == "Policy Validation":
        return f"the site's policy refuses it: {policy_sentence(refused(said.partition(' (Traceback')[0]))}"
    if "HashValidationException" in said:
        return "the bytes of a file that arrived do not match its hash; it can be sent again"
    if "Invalid Hashtype" in said:
        return f"the site does not know the kind of hash: {reason}"
    if missing:
        return f"the file '{missing[1]}' is missing in the upload"
    if _TOO_LONG.search(said):
        return f"a name, key or value is longer than the {_TOO_LONG.findall(said)[0]} characters that the site takes"
    if "unique constraint" in said or "duplicate" in said.lower():
        return f"the site stored something of this upload already: {reason}"
    return f"the site failed at '{task}': {reason or 'it does not say why'}"


def policy_sentence(found: tuple[str, ...]) -> str:
    """What policy found wrong (see `Policy.refusal`), where the metadata itself is not at hand."""
    if found == ("right",):
        return "the submitter may not upload to this project with this instrument"
    if all(name in ("submitter", "project", "instrument") for name in found):
        return f"the {' and the '.join(found)} {'is' if len(found) == 1 else 'are'} not known to the site"
    return plain(" ".join(found))


def _reason(said: str) -> str:
    """The last line of a traceback, or the message in the text of a Python dict."""
    text = said.strip()
    if text.startswith("{"):
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            value = None
        if isinstance(value, dict):
            trace = str(value.get("traceback") or "").strip().splitlines()
            errors = [line for line in trace if re.match(r"[\w.]+(Error|Exception|Violation|DoesNotExist)\b", line)]
            return plain(errors[-1] if errors else value.get("message", ""))
    lines = [line for line in text.splitlines() if line.strip()]
    return plain(lines[-1]) if lines else ""


def _percent(text: object) -> float:
    try:
        return float(str(text))
    except ValueError:
        return 0.0
