"""Files as tables: read, typed over all rows, given as records. Independent of any server.

`read(path, format_of(name), Options(...))` makes a `Table`: `fields`, `rows`, `remarks`, and `records()` in file order.
`NotATable`: there is no table in it. `BadTable`: there is one, but it contradicts what was said of it.
"""

from .options import TYPES, BadTable, Fault, Field, FieldOption, NotATable, Options
from .table import Interrupted, Table, format_of, read

__all__ = [
    "TYPES",
    "BadTable",
    "Fault",
    "Field",
    "FieldOption",
    "Interrupted",
    "NotATable",
    "Options",
    "Table",
    "format_of",
    "read",
]
