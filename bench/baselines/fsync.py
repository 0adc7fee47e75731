"""The floor of every durable commit: how long the disk takes for 4 KiB."""

import os
import statistics
import time
from pathlib import Path
from typing import Final

_BLOCK: Final = 4096


def fdatasync_ms(folder: Path, *, seconds: float) -> float:
    """The median of overwriting 4 KiB and `fdatasync`, in milliseconds."""
    path, taken = folder / "fsync", []
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        os.pwrite(descriptor, os.urandom(_BLOCK), 0)
        os.fsync(descriptor)
        deadline = time.perf_counter() + seconds
        while (began := time.perf_counter()) < deadline:
            os.pwrite(descriptor, os.urandom(_BLOCK), 0)
            os.fdatasync(descriptor)
            taken.append(time.perf_counter() - began)
    finally:
        os.close(descriptor)
        path.unlink()
    return statistics.median(taken) * 1000
