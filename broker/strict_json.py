"""JSON from outside, read strictly: RFC 8259 narrowed by RFC 7493 (I-JSON), and within a depth.

Readers disagree on what a member that came twice means, or a number that is none: here neither gets in.
"""

import json
from collections.abc import Iterable
from typing import Any, Final, NoReturn

NOT_UTF8: Final = "not_utf8"
NOT_JSON: Final = "not_json"
MEMBER_TWICE: Final = "member_twice"
TOO_DEEP: Final = "nested_too_deeply"
BAD_NUMBER: Final = "number_refused"
BAD_TEXT: Final = "text_refused"
_MAX_INTEGER: Final = 2**53 - 1


class JsonFaultError(Exception):
    """Bytes that are not such JSON; `rule` is what they break, and nothing of them is repeated."""

    def __init__(self, rule: str) -> None:
        self.rule = rule
        super().__init__(rule)


def read_json(raw: bytes | str, *, depth: int) -> Any:  # noqa: ANN401 - any JSON value
    """A JSON value nested at most `depth` deep. Raises JsonFaultError.

    No member twice, no NaN or Infinity, no number that a double cannot hold, no lone surrogate, no NUL.
    """
    try:
        text = raw.decode() if isinstance(raw, bytes) else raw
        value = json.loads(
            text,
            object_pairs_hook=_members_once,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_exact,
        )
    except UnicodeDecodeError:
        raise JsonFaultError(NOT_UTF8) from None
    except json.JSONDecodeError:
        raise JsonFaultError(NOT_JSON) from None
    except RecursionError:
        raise JsonFaultError(TOO_DEEP) from None
    except ValueError:  # an integer of thousands of digits
        raise JsonFaultError(BAD_NUMBER) from None
    _check_depth(value, depth)
    if "\\u" in text or "\\U" in text:
        _check_text(value)
    return value


def _members_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise JsonFaultError(MEMBER_TWICE)
    return members


def _no_constant(name: str) -> NoReturn:
    del name
    raise JsonFaultError(BAD_NUMBER)


def _finite(text: str) -> float:
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise JsonFaultError(BAD_NUMBER)
    return number


def _exact(text: str) -> int:
    # RFC 7493 section 2.2: beyond this, readers disagree on what the number is.
    number = int(text)
    if abs(number) > _MAX_INTEGER:
        raise JsonFaultError(BAD_NUMBER)
    return number


def _check_depth(value: object, depth: int) -> None:
    """Level by level, so that no depth of theirs is a depth of our stack."""
    level = _containers([value])
    for _ in range(depth):
        level = [
            inner for one in level for inner in _containers(one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return
    if level:
        raise JsonFaultError(TOO_DEEP)


def _containers(values: Iterable[object]) -> list[dict[str, Any] | list[Any]]:
    return [value for value in values if isinstance(value, dict | list)]


def _check_text(value: object) -> None:
    """Only an escape can bring in a lone surrogate or a NUL, which no database of ours takes."""
    try:
        written = json.dumps(value, ensure_ascii=False)
        written.encode()
    except UnicodeEncodeError:
        raise JsonFaultError(BAD_TEXT) from None
    # A NUL is written as an escape again; `\\u0000` with the backslash escaped is six harmless characters.
    if "\\u0000" in written.replace("\\\\", ""):
        raise JsonFaultError(BAD_TEXT)
