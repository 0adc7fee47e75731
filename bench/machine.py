"""What a run was measured on, and how busy the machine was: neighbours move absolute numbers."""

import os
import platform
import sqlite3
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

_PACKAGES: Final = (
    "asyncpg", "cryptography", "fastapi", "httptools", "joserfc", "orjson", "psycopg",
    "sqlalchemy", "sqlmodel", "starlette", "uvicorn", "uvloop",
)  # fmt: skip
_STEAL: Final = 7  # proc(5), /proc/stat: the eighth number of the line `cpu`


def describe(folder: Path, postgres: str | None) -> dict[str, Any]:
    """Cores, versions, and the file system that the databases are on."""
    return {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "filesystem": _filesystem(folder),
        "versions": {
            "python": platform.python_version(),
            "postgresql": postgres,
            "sqlite": sqlite3.sqlite_version,
            **{name: version(name) for name in _PACKAGES},
        },
    }


def busy() -> dict[str, Any]:
    """Load averages of 1, 5 and 15 minutes, and seconds that neighbours have stolen since the start."""
    numbers = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()[1:]
    stolen = int(numbers[_STEAL]) / os.sysconf("SC_CLK_TCK")
    return {"load_average": os.getloadavg(), "stolen_seconds": stolen}


def say(text: str = "") -> None:
    """A line for whoever watches."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _filesystem(folder: Path) -> str:
    """The kind of the mount that holds a folder: on `tmpfs` a commit costs nothing and says nothing."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    holding = [
        (len(place), kind)
        for _, place, kind, *_ in mounts
        if folder.resolve().is_relative_to(place.replace("\\040", " "))
    ]
    return max(holding)[1]
