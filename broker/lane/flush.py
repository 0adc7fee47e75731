"""A flush: read, decide, commit, answer. Nothing leaves before its commit."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from broker.lane.deciding import Desk, decide_pull
from broker.lane.pulls import Answer, DataStore, Found, KeyMaterial, KeyringStore, Proposal, Pull

_INLINE_BYTES: Final = 64 * 1024

Verdict = Answer | Proposal | Exception


class Flush:
    """The four steps over two stores; `process` fits `batch.Process`."""

    def __init__(
        self, data: DataStore, keyring: KeyringStore, desk: Desk, clock: Callable[[], datetime]
    ) -> None:
        self._data = data
        self._keyring = keyring
        self._desk = desk
        self._clock = clock

    async def process(self, pulls: Sequence[Pull]) -> list[Answer | Exception | None]:
        """Answer every pull of a batch; None where something overtook it, an error where it alone failed."""
        found = await self._data.find(pulls)
        grants = [known.grant for known in found.values() if known.grant is not None]
        keys = await self._keyring.keys(
            sorted({grant.version_id for grant in grants}), sorted({grant.subject_id for grant in grants})
        )
        if (signer := self._desk.shaper.signer).is_old:
            await asyncio.to_thread(signer.read)
        size = sum(len(record.ciphertext) for known in found.values() for record in known.records)
        if size > _INLINE_BYTES:
            decided = await asyncio.to_thread(self._decide_all, pulls, found, keys)
        else:
            decided = self._decide_all(pulls, found, keys)
        proposals = [verdict for verdict in decided if isinstance(verdict, Proposal)]
        committed = iter(await self._data.commit(proposals) if proposals else [])
        return [next(committed) if isinstance(verdict, Proposal) else verdict for verdict in decided]

    def _decide_all(self, pulls: Sequence[Pull], found: dict[int, Found], keys: KeyMaterial) -> list[Verdict]:
        now = self._clock()
        return [self._decide(pull, found.get(place), keys, now) for place, pull in enumerate(pulls)]

    def _decide(self, pull: Pull, found: Found | None, keys: KeyMaterial, now: datetime) -> Verdict:
        try:
            return decide_pull(self._desk, pull, found, keys, now)
        except Exception as error:  # noqa: BLE001 - a pull that fails fails alone: its caller is told, the others go on
            return error
