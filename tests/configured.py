"""An installation with other settings than the suite's."""

from dataclasses import replace

from broker.installation import Installation


def configured(installation: Installation, section: str, **changes: object) -> Installation:
    """The same installation with a section of its settings changed; the values are not validated."""
    settings = installation.settings
    changed = getattr(settings, section).model_copy(update=changes)
    return replace(installation, settings=settings.model_copy(update={section: changed}))
