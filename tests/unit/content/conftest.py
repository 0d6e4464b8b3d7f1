"""Content stores that are closed after each test."""

from pathlib import Path

import pytest

from pacifica_fs.content.content import Content, ReadPolicy
from tests.unit.content.content_fakes import Clock, FakeArchive


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def archive() -> FakeArchive:
    return FakeArchive()


@pytest.fixture
def make(tmp_path: Path, clock: Clock, archive: FakeArchive):
    """Content stores on one root, started, closed at the end."""
    made: list[Content] = []

    def build(
        *, limit: int = 2**30, archives=None, read: str = "progressive", read_wait: float = 600.0, root=None, **options
    ) -> Content:
        archives = archives or {archive.name: archive}
        policies = {name: ReadPolicy(read, read_wait) for name in archives}
        content = Content(
            root or tmp_path / "content", limit, archives, policies, options.pop("clock", clock), **options
        )
        made.append(content)
        content.start()
        return content

    yield build
    for content in made:
        content.close()


@pytest.fixture
def content(make) -> Content:
    return make()
