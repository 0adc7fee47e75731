"""How a person is told: at once or in a digest, and at which confirmed addresses beside the inbox."""

import secrets
from typing import Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from broker.deps import FormData
from broker.jobs.notifying import ways_of
from broker.web.citizen.desk import DeskOf, Reader, ReaderOf
from broker.web.citizen.own_addresses import is_endpoint, is_mail_address
from broker.web.csrf import OwnForm
from broker.web.errors import BadChoiceError
from broker.web.i18n import Words
from broker.web.rendering import Page, PageOf
from broker.web.signin.guards import require_citizen
from consent.contacts import (
    ContactView,
    NewContact,
    add_contact,
    confirm_contact,
    contacts_of,
    end_contact,
)
from consent.errors import TooManyContactsError
from consent.notification_wishes import Channel, Schedule, Wishes, save_wishes, wishes_of

router = APIRouter(prefix="/notifications", dependencies=[Depends(require_citizen)])

_UNPROCESSABLE: Final = 422
_CODES: Final = 10**8


@router.get("", name="notifications")
def show_settings(page: PageOf, reader: ReaderOf) -> Response:
    """What is chosen now, the addresses, and the forms to change them."""
    return _settings_page(page, reader)


@router.post("", name="notifications.save")
def post_settings(page: PageOf, form: OwnForm, desk: DeskOf) -> Response:
    """Keep what the person chose."""
    wishes = Wishes(
        _schedule(form, "pulls"),
        _schedule(form, "refusals"),
        wants_yearly=form.one("yearly") == "yes",
        language=page.language,
    )
    hour = desk.installation.settings.notifications.digest_hour
    save_wishes(desk.work.session, desk.subject_id, wishes, desk.now, hour=hour)
    return page.redirect("/notifications")


@router.post("/contacts", name="notifications.contact")
def post_contact(page: PageOf, form: OwnForm, desk: DeskOf) -> Response:
    """Name an address; a code is sent there, and nothing else until it is entered here."""
    channel = _channel(form)
    if channel not in ways_of(desk.installation).channels:
        raise BadChoiceError
    address = (form.one("address") or "").strip()
    fault = _address_fault(page.words, channel, address, is_demo=page.is_demo)
    if fault is None:
        code = f"{secrets.randbelow(_CODES):08d}"
        new = NewContact(desk.subject_id, channel, address, code, page.language)
        try:
            add_contact(desk.work.session, desk.keyring, new, desk.now)
        except TooManyContactsError:
            fault = page.words.gettext("That was often enough for today. Try again tomorrow")
    if fault is not None:
        return _settings_page(page, desk.reader, fault=(f"{channel}-address", fault))
    return page.redirect("/notifications")


@router.post("/contacts/confirm", name="notifications.confirm")
def post_code(page: PageOf, form: OwnForm, desk: DeskOf) -> Response:
    """Confirm an address with the code that was sent there."""
    channel = _channel(form)
    unverified_code = "".join((form.one("code") or "").split())
    owner = (desk.subject_id, channel)
    if confirm_contact(desk.work.session, desk.keyring, owner, unverified_code, desk.now):
        return page.redirect("/notifications")
    fault = page.words.gettext("This is not the code that was sent, or it is too old")
    return _settings_page(page, desk.reader, fault=(f"{channel}-code", fault))


@router.post("/contacts/end", name="notifications.end")
def post_end(page: PageOf, form: OwnForm, desk: DeskOf) -> Response:
    """Tell the person nothing more at an address; the inbox stays."""
    end_contact(desk.work.session, desk.subject_id, _channel(form), desk.now)
    return page.redirect("/notifications")


def _settings_page(page: Page, reader: Reader, *, fault: tuple[str, str] | None = None) -> Response:
    found = wishes_of(reader.session, [reader.subject_id])
    contacts = contacts_of(reader.session, reader.keyring, reader.subject_id, reader.now)
    channels = ways_of(reader.installation).channels
    return page.answer(
        "citizen/notification_settings.html",
        status=_UNPROCESSABLE if fault else 200,
        wishes=found.get(reader.subject_id, Wishes()),
        schedules=_schedules(page.words),
        channels=[
            _channel_words(page.words, channel, contacts) for channel in Channel if channel in channels
        ],
        digest_hour=reader.installation.settings.notifications.digest_hour,
        fault=fault,
    )


def _schedules(words: Words) -> list[tuple[Schedule, str]]:
    return [
        (Schedule.AT_ONCE, words.gettext("At once")),
        (Schedule.DAILY, words.gettext("Once a day, together")),
        (Schedule.WEEKLY, words.gettext("Once a week, together, on Monday")),
    ]


def _channel_words(words: Words, channel: Channel, contacts: list[ContactView]) -> dict[str, object]:
    """A channel with its texts, its address in use and the one that waits for its code."""
    is_mail = channel is Channel.MAIL
    own = [contact for contact in contacts if contact.channel is channel]
    return {
        "id": channel,
        "title": words.gettext("By mail") if is_mail else words.gettext("To a program of yours (webhook)"),
        "label": words.gettext("Mail address") if is_mail else words.gettext("Address (https)"),
        "hint": words.gettext("A mail says who, what kind of thing and when. It holds none of your records.")
        if is_mail
        else words.gettext("A signed event says who, what kind of thing and when. It holds no records."),
        "confirmed": next((contact for contact in own if contact.is_confirmed), None),
        "waiting": next((contact for contact in own if not contact.is_confirmed), None),
    }


def _schedule(form: FormData, name: str) -> Schedule:
    try:
        return Schedule(form.one(name) or "")
    except ValueError as error:
        raise BadChoiceError from error


def _channel(form: FormData) -> Channel:
    try:
        return Channel(form.one("channel") or "")
    except ValueError as error:
        raise BadChoiceError from error


def _address_fault(words: Words, channel: Channel, address: str, *, is_demo: bool) -> str | None:
    """What is wrong with an address, in words; None if it can be tried."""
    if channel is Channel.MAIL:
        return None if is_mail_address(address) else words.gettext("Enter a mail address")
    if is_endpoint(address, is_demo=is_demo):
        return None
    return words.gettext("Enter an address in the internet that begins with https")
