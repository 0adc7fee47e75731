"""A citizen without a browser: reads the pages' forms and posts them, as the demo's headless run does."""

from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Final
from urllib.parse import urljoin

import httpx

_MAX_STEPS: Final = 10


class UnexpectedPageError(Exception):
    """A page was not what the story expects: its address's path and status."""


class Citizen:
    """One person's browser session at one broker."""

    def __init__(self, issuer: str, username: str, password: str) -> None:
        self._issuer = issuer
        self._username = username
        self._password = password
        self._http = httpx.Client(timeout=20, follow_redirects=False)

    def close(self) -> None:
        """Close the browser."""
        self._http.close()

    def agree(self, authorization_url: str) -> str:
        """Follow a recipient's link, sign in, tick everything, allow; answers the text of where it leads."""
        return self._allow(self._go(authorization_url))

    def agree_from(self, address: str, button: str) -> str:
        """The same from a recipient's page, by a button of it."""
        page = self._go(address)
        return self._allow(self._follow(self._post(page, _form_with(page.text, button), button)))

    def fill_in(self, address: str, button: str, values: Mapping[str, str]) -> tuple[str, str]:
        """Fill in a form of a recipient and send it; the address and the text of where it leads."""
        page = self._go(address)
        form = _form_with(page.text, button)
        form.values |= values
        shown = self._follow(self._post(page, form, button))
        return str(shown.url), shown.text

    def read(self, address: str) -> str:
        """The text of a page."""
        return self._go(address).text

    def _allow(self, page: httpx.Response) -> str:
        form = _form_with(page.text, "allow")
        answer = self._post(page, form, "allow")
        return self._follow(answer).text

    def stop(self, grant_id: str) -> None:
        """Stop sharing: open the page that asks once, and confirm."""
        page = self._go(f"{self._issuer}/ko/consents/{grant_id}/stop")
        form = _form_with(page.text, "stop")
        self._follow(self._post(page, form, "stop"))

    def press(self, path: str, button: str) -> None:
        """Press one button of a page of one's own."""
        page = self._go(f"{self._issuer}{path}")
        self._follow(self._post(page, _form_with(page.text, button), button))

    def download(self, path: str) -> str:
        """A file of one's own."""
        return self._go(f"{self._issuer}{path}").text

    def _go(self, address: str) -> httpx.Response:
        return self._follow(self._http.get(address))

    def _follow(self, answer: httpx.Response) -> httpx.Response:
        """Follow redirects as a browser does; sign in where a page asks for it."""
        for _ in range(_MAX_STEPS):
            if answer.is_redirect:
                answer = self._http.get(urljoin(str(answer.url), answer.headers["location"]))
            elif answer.is_success and answer.url.path.endswith("/signin"):
                form = _form_with(answer.text, "login")
                form.values |= {"username": self._username, "password": self._password}
                answer = self._post(answer, form, "login")
            elif answer.is_success:
                return answer
            else:
                break
        message = f"{answer.status_code} at {answer.url.path}"
        raise UnexpectedPageError(message)

    def _post(self, page: httpx.Response, form: "_Form", button: str) -> httpx.Response:
        address = urljoin(str(page.url), form.action or str(page.url))
        values = {**form.values, **form.buttons.get(button, {})}
        return self._http.post(address, data=values, headers={"Origin": self._issuer})


class _Form:
    """A form: where it goes, its fields with every box ticked, and its buttons by id."""

    def __init__(self, action: str) -> None:
        self.action = action
        self.values: dict[str, str | list[str]] = {}
        self.buttons: dict[str, dict[str, str]] = {}


class _Forms(HTMLParser):
    """Collects the forms of a page, with what names a form from outside of it (attribute `form`)."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[_Form] = []
        self._by_id: dict[str, _Form] = {}
        self._open: _Form | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._open = _Form(attributes.get("action", ""))
            self.forms.append(self._open)
            self._by_id[attributes.get("id", "")] = self._open
        form = self._by_id.get(attributes["form"]) if "form" in attributes else self._open
        if form is not None and tag == "input":
            _add(form, attributes)
        elif form is not None and tag == "button":
            named = {attributes["name"]: attributes.get("value", "")} if attributes.get("name") else {}
            form.buttons[attributes.get("id", "")] = named

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None


def _add(form: _Form, attributes: dict[str, str]) -> None:
    name = attributes.get("name")
    if name is None:
        return
    value = attributes.get("value", "on" if attributes.get("type") == "checkbox" else "")
    known = form.values.get(name)
    if known is None:
        form.values[name] = value
    else:
        form.values[name] = [*([known] if isinstance(known, str) else known), value]


def _form_with(page: str, button: str) -> _Form:
    parser = _Forms()
    parser.feed(page)
    for form in parser.forms:
        if button in form.buttons:
            return form
    message = f"no form with the button {button}"
    raise UnexpectedPageError(message)
