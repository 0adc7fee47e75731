"""Turns the broker's own signing keys by the schedule of `[keys]`; a turn that is overdue is made up for.

No key is made of a name that has none: that is `mydata key init`, which a person runs.
"""

import logging
from datetime import datetime, timedelta
from typing import Final

from broker.installation import Installation
from broker.service_keys import ROTATED_KEYS
from broker.setting_sections import KeysSection
from vault.keys.rotation import Schedule

_log: Final = logging.getLogger(__name__)


def schedule_of(section: KeysSection) -> Schedule:
    """The settings as a schedule."""
    return Schedule(
        signs_for=timedelta(days=section.rotate_days) if section.rotate_days else None,
        publish_before=timedelta(days=section.publish_before_days),
        keep_previous=timedelta(days=section.keep_previous_days),
    )


def rotate_keys(installation: Installation, now: datetime) -> int:
    """Do what is due for each key; how many steps were done. Any number of workers may do it at once."""
    schedule, rotation = schedule_of(installation.settings.keys), installation.keyring.rotation
    done = 0
    for name in ROTATED_KEYS:
        for turn in rotation.turn(name, schedule, now):
            _log.info("signing key turned", extra={"kind": name, "status": turn.state.value})
            done += 1
    return done
