"""Each row of what ingest answers about a job."""

import pytest

from pacifica_fs.archives.pacifica.jobs import progress
from pacifica_fs.errors import BadAnswer, Unreachable
from pacifica_fs.model import Progress

TRACE = 'Traceback (most recent call last):\n  File "x.py", line 1, in y\n'
METADATA = {
    "status": "500 Internal Server Error",
    "message": "The server encountered an unexpected condition",
    "traceback": TRACE + "psycopg2.errors.StringDataRightTruncation: value too long for type character varying(255)\n",
}


def state(**changes):
    return {"job_id": 5, "state": "OK", "task": "open tar", "task_percent": "0.00000", "complete": False} | changes


def test_running_and_done():
    assert progress(state()) == Progress("", "open tar", 0.0)
    done = state(task="ingest metadata", task_percent="100.00000", complete=True)
    assert progress(done) == Progress("done", "ingest metadata", 100.0, container="5")


@pytest.mark.parametrize(
    "task,percent,outcome", [("ingest metadata", 100, "done"), ("ingest metadata", 0, ""), ("open tar", 100, "")]
)
def test_older_servers_have_no_complete(task, percent, outcome):
    old = state(task=task, task_percent=f"{percent}.00000")
    del old["complete"]
    assert progress(old).outcome == outcome


@pytest.mark.parametrize(
    "task,exception,words",
    [
        ("open tar", "Failed to open tarfile.", "arrived damaged or cut off"),
        ("load metadata", "\"filename 'metadata.txt' not found\"", "metadata: \"filename 'metadata.txt' not found\""),
        ("load metadata", "Expecting property name: line 1 column 2 (char 1)", "Expecting property name"),
        (
            "Policy Validation",
            "Precondition Failed: Invalid values for project (Traceback (most recent call last): ...)",
            "the project is not known to the site",
        ),
        (
            "Policy Validation",
            "Precondition Failed: Invalid values for project (1234a) not in user instrument list ([]) (Traceback ...)",
            "may not upload to this project with this instrument",
        ),
        (
            "Policy Validation",
            "Precondition Failed: Invalid values for submitter, project (Traceback ...)",
            "the submitter and the project are not known",
        ),
        (
            "ingest files",
            TRACE + "pacifica.HashValidationException: File 1015 failed to validate.\n\nFile 1015 failed to validate.",
            "do not match its hash",
        ),
        ("ingest files", TRACE + "ValueError: Invalid Hashtype nosuch", "ValueError: Invalid Hashtype nosuch"),
        (
            "ingest files",
            TRACE + "KeyError: \"filename 'data/a/c/bar.bin' not found\"",
            "'data/a/c/bar.bin' is missing",
        ),
        ("ingest metadata", str(METADATA), "longer than the 255 characters"),
        (
            "ingest metadata",
            str(METADATA | {"traceback": TRACE + "ValueError: Invalid metadata for file 7\n"}),
            "file 7",
        ),
        ("move files", "", "does not say why"),
    ],
)
def test_failures_in_one_plain_sentence(task, exception, words):
    found = progress(state(state="FAILED", task=task, complete=True, exception=exception))
    assert found.outcome == "failed" and found.task == task and not found.container
    assert words in found.message
    assert "Traceback" not in found.message and "\n" not in found.message and len(found.message) < 300


def test_a_database_that_is_away_is_an_outage():
    with pytest.raises(Unreachable):
        progress({"job_id": None, "state": "DATA_ACCESS_ERROR", "task": "read_state", "task_percent": "0.0"})


@pytest.mark.parametrize("answer", [{}, {"state": "OK"}, {"job_id": 5, "state": "NEW"}])
def test_nonsense(answer):
    with pytest.raises(BadAnswer):
        progress(answer)
