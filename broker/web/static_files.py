"""Static files of the pages: read once from the package, served under names that hold their hash."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import PurePosixPath
from typing import Final

from starlette.responses import Response

_MEDIA_TYPES: Final = {".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
_CACHE_CONTROL: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file's bytes and media type."""

    content: bytes
    media_type: str


class StaticFiles:
    """The files by hashed name: what changes gets a new address, so every address can be cached for ever."""

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self._addresses: dict[str, str] = {}
        self._files: dict[str, StaticFile] = {}
        for name, content in contents.items():
            path = PurePosixPath(name)
            hashed = f"{path.stem}.{hashlib.sha256(content).hexdigest()[:16]}{path.suffix}"
            self._addresses[name] = f"/static/{hashed}"
            self._files[hashed] = StaticFile(content, _MEDIA_TYPES[path.suffix])

    @classmethod
    def load(cls) -> "StaticFiles":
        """Everything in `broker/web/static` that has a media type of ours."""
        directory = resources.files(__package__).joinpath("static")
        return cls(
            {
                entry.name: entry.read_bytes()
                for entry in directory.iterdir()
                if PurePosixPath(entry.name).suffix in _MEDIA_TYPES
            }
        )

    def address(self, name: str) -> str:
        """The path under which a file is served; KeyError for a file that does not exist."""
        return self._addresses[name]

    def answer(self, hashed_name: str) -> Response:
        """The file with headers to keep it for ever; 404 for any other name."""
        file = self._files.get(hashed_name)
        if file is None:
            return Response(status_code=404)
        return Response(file.content, media_type=file.media_type, headers={"Cache-Control": _CACHE_CONTROL})
