"""Providers that tests name in a configuration."""

import io

from pacifica_fs.transport.providers import Follow, OneByOne


class Upper(OneByOne):
    """The URL's path in capitals."""

    def __init__(self, context):
        self.context = context

    def download_datafile(self, file, start=0):
        return Text(file.url.partition("://")[2].upper().encode(), 0)


class Text:
    validator = ""

    def __init__(self, data, start):
        self.start, self.size, self.closed = start, len(data), False
        self._file = io.BytesIO(data[start:])

    def chunks(self):
        while piece := self._file.read(3):
            yield piece

    def close(self):
        self.closed = True


class Whole(Upper):
    """Has hooks of its own for many files, which come backwards."""

    asked = []  # noqa: RUF012

    def download_experiment(self, id, files):
        self.asked.append(("experiment", id, len(files)))
        yield from self._backwards(files)

    def download_datafiles(self, files):
        self.asked.append(("datafiles", "", len(files)))
        yield from self._backwards(files)

    def _backwards(self, files):
        for index in reversed(range(len(files))):
            yield index, self.download_datafile(files[index])


class Circle(OneByOne):
    def __init__(self, context):
        pass

    def download_datafile(self, file, start=0):
        return Follow(file.url)


class Broken(OneByOne):
    def __init__(self, context):
        pass

    def download_datafile(self, file, start=0):
        raise KeyError("what")


class Forgetful(Upper):
    def download_datafiles(self, files):
        yield 0, self.download_datafile(files[0])


class Half:
    def __init__(self, context):
        pass

    def download_datafile(self, file, start=0):
        raise NotImplementedError


def fails(context):
    raise RuntimeError("no")
