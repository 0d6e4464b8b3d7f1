"""pacifica-fs: a file system for scientific data archives.

The rooms, from the lowest floor up (imports go down only; `tests/unit/test_imports.py` checks it):

1. `model`, `errors`, `clock`: frozen values, the exception tree, time as an argument
2. `archive` (the protocols), `transport`, `config`
3. `content`, `tree`, `archives`
4. `mount`, `drop`
5. `service`: the composition root, status, log
6. `cli`: one module a command
"""

__version__ = "0.1.0"
