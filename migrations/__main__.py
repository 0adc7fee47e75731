"""For developers: `python -m migrations data 0002 "what changes"` writes a revision file to read and tidy."""

import sys
import tempfile
from pathlib import Path
from typing import cast

from migrations.run import Which, upgrade, write_revision
from migrations.tables import METADATA


def main(arguments: list[str]) -> int:
    """Compare the models with a database that all revisions have built, and write down the difference."""
    match arguments:
        case [which, revision_id, name] if which in METADATA:
            chosen = cast("Which", which)
        case _:
            sys.stderr.write('usage: python -m migrations data|keyring NUMBER "what changes"\n')
            return 2
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'compare.db'}"
        upgrade(url, chosen)
        write_revision(url, chosen, name=name, revision_id=revision_id)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
