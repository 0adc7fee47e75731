"""In every Python process that finds this on its path: notes each file that it opens to write, by its path.

SQLite and PostgreSQL write from C, where nothing is noted: theirs are known by the databases' own paths.
"""

import os
import sys
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def _watch(list_of_files: str) -> None:
    notes = os.open(list_of_files, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and (not isinstance(arguments[2], int) or not arguments[2] & _WRITING):
            return
        if event == "sqlite3.connect":
            path = os.fsdecode(arguments[0]).removeprefix("file:").partition("?")[0]
        elif event in {"open", "os.rename"}:
            path = arguments[1 if event == "os.rename" else 0]
        else:
            return
        if path and not isinstance(path, int):  # not SQLite's nameless files, nor what is open already
            path = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - pathlib would slow every start
            os.write(notes, os.fsencode(path) + b"\n")

    sys.addaudithook(note)


if "CANARY_WRITTEN" in os.environ:
    _watch(os.environ["CANARY_WRITTEN"])
