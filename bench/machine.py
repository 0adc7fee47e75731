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
_TICKS: Final = os.sysconf("SC_CLK_TCK")
# proc(5), /proc/stat: the numbers of the line `cpu`, up to the eighth: the others are in them already.
_IDLE, _WAIT, _STEAL = 3, 4, 7


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
    return {"load_average": os.getloadavg(), "stolen_seconds": _cpu_seconds()[_STEAL]}


def working_seconds() -> float:
    """What all cores together have worked since the start, for whomever; stolen time is work for others."""
    seconds = _cpu_seconds()
    return sum(seconds) - seconds[_IDLE] - seconds[_WAIT]


def say(text: str = "") -> None:
    """A line for whoever watches."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _cpu_seconds() -> list[float]:
    numbers = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()[1:]
    return [int(number) / _TICKS for number in numbers[: _STEAL + 1]]


def _filesystem(folder: Path) -> str:
    """The kind of the mount that holds a folder: on `tmpfs` a commit costs nothing and says nothing."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    holding = [
        (len(place), kind)
        for _, place, kind, *_ in mounts
        if folder.resolve().is_relative_to(place.replace("\\040", " "))
    ]
    return max(holding)[1]
