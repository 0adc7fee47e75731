"""Receipts in pages: each end has one, the proof comes after the log was signed, the PDF holds Korean."""

import json
import re
import zlib
from dataclasses import replace
from typing import Any, Final

import pytest
from httpx import Response

from broker.jobs.duties import drain
from broker.jobs.publishing import publish
from broker.web.receipt_pdf import Printer
from consent.ledger.verify import verify_receipt_file
from consent.receipt_signature import verify_receipt
from tests.web.stage import Stage, text_of

UNKNOWN: Final = "/ko/consents/unknown/receipt"


@pytest.fixture
def grant_id(signed_in: Stage) -> str:
    signed_in.decide(signed_in.request(), "allow")
    return signed_in.consents()[0].grant_id


def stop(stage: Stage, grant_id: str) -> None:
    stage.http.post(f"/ko/consents/{grant_id}/stop")
    drain(stage.installation, stage.clock())


def references(stage: Stage, grant_id: str) -> list[str]:
    page = stage.http.get(f"/ko/consents/{grant_id}/receipt").text
    return re.findall(rf'href="/ko/consents/{grant_id}/receipt/([^"/]+)"', page)


def pdf_text_glyphs(content: bytes) -> set[str]:
    """The characters that a PDF says its glyphs stand for (ToUnicode maps, ISO 32000-1 section 9.10.3)."""
    found: set[str] = set()
    for stream in streams_of(content):
        if b"beginbfchar" in stream or b"beginbfrange" in stream:
            for code in re.findall(rb"<([0-9a-fA-F]+)>\s*\n", stream + b"\n"):
                found |= set(bytes.fromhex(code.decode()).decode("utf-16-be", errors="ignore"))
    return found


def streams_of(content: bytes) -> list[bytes]:
    """The streams of a PDF, unpacked where they are packed."""
    return [unpacked(raw) for raw in re.findall(rb"stream\r?\n(.*?)\nendstream", content, re.DOTALL)]


def unpacked(raw: bytes) -> bytes:
    """Packed data says itself where it ends: its last byte, of a checksum, may be the CR of a line's end."""
    packed = zlib.decompressobj()
    try:
        found = packed.decompress(raw)
    except zlib.error:
        return raw
    return found if packed.eof else raw


# Nobody else's, and not what is not there


@pytest.mark.parametrize("page", ["", "/1", "/1/file.jws", "/1/proof.json", "/1/receipt.pdf"])
def test_another_persons_receipts_are_as_unknown(signed_in: Stage, grant_id: str, page: str) -> None:
    signed_in.http.cookies.clear()
    signed_in.sign_in(username="jeongsuk")
    for path in (f"/ko/consents/{grant_id}/receipt{page}", f"{UNKNOWN}{page}"):
        assert signed_in.http.get(path).status_code == 404
    assert signed_in.http.get(f"/ko/consents/{grant_id}/text").status_code == 404


@pytest.mark.parametrize("page", ["/2", "/2/file.jws", "/none/proof.json", "/0/receipt.pdf"])
def test_a_receipt_that_is_not_there_is_not_found(signed_in: Stage, grant_id: str, page: str) -> None:
    assert signed_in.http.get(f"/ko/consents/{grant_id}/receipt{page}").status_code == 404


def test_what_was_declined_has_no_text(signed_in: Stage) -> None:
    signed_in.decide(signed_in.request(), "deny")
    declined = signed_in.consents()[0].grant_id
    assert signed_in.http.get(f"/ko/consents/{declined}/text").status_code == 404


# Before and after the log was signed


def test_before_the_log_is_signed_the_page_says_that_the_proof_is_to_come(
    signed_in: Stage, grant_id: str
) -> None:
    page = signed_in.http.get(f"/ko/consents/{grant_id}/receipt").text
    assert 'id="proof-not-ready"' in page
    assert "download-proof" not in page
    answer = signed_in.http.get(f"/ko/consents/{grant_id}/receipt/1/proof.json")
    assert answer.status_code == 503
    assert "아직 증명이 준비되지 않았어요" in text_of(answer.text)


@pytest.mark.parametrize("is_opened", [False, True])
def test_after_it_the_proof_verifies_offline(signed_in: Stage, grant_id: str, *, is_opened: bool) -> None:
    publish(signed_in.installation, signed_in.clock())
    assert "download-proof" in signed_in.http.get(f"/ko/consents/{grant_id}/receipt").text
    path = f"/ko/consents/{grant_id}/receipt/1/proof.json"
    answer = signed_in.http.get(path, params={"opened": "true"} if is_opened else {})
    assert answer.headers["content-type"] == "application/json"
    report = verify_receipt_file(answer.content)
    assert (report.claims["grant_id"], report.is_opened) == (grant_id, is_opened)


# Ends


def test_stopping_gives_a_receipt_of_its_own(signed_in: Stage, grant_id: str) -> None:
    stop(signed_in, grant_id)
    (reference,) = references(signed_in, grant_id)
    path = f"/ko/consents/{grant_id}/receipt/{reference}"
    words = text_of(signed_in.http.get(path).text)
    for told in ("동의를 거두셨어요", "그때까지 보낸 횟수", "한빛손해보험"):
        assert told in words, told
    file = signed_in.http.get(f"{path}/file.jws")
    keys = [key.public_jwk for key in signed_in.installation.keyring.service_keys("receipt")]
    claims = verify_receipt(file.text, {"keys": keys})
    assert (claims["kind"], claims["end"]["cause"]) == ("withdrawal", "withdrawal")
    assert file.headers["content-disposition"].endswith('withdrawal.jws"')
    assert signed_in.http.get(f"{path}/receipt.pdf").content.startswith(b"%PDF-")
    assert "Withdrawn" in text_of(signed_in.http.get(path.replace("/ko/", "/en/")).text)


# The text


def test_the_text_that_was_agreed_to_is_shown_word_for_word(signed_in: Stage, grant_id: str) -> None:
    assert f"/ko/consents/{grant_id}/text" in signed_in.http.get(f"/ko/consents/{grant_id}").text
    purpose = signed_in.installation.purposes.get("insurance.indemnity_claim")
    for language in ("ko", "en"):
        page = signed_in.http.get(f"/{language}/consents/{grant_id}/text").text
        assert purpose.notice.ko in page
        assert purpose.notice_digest("ko").hex() in page
    assert "영수증에 적힌 것과 같아요" in text_of(signed_in.http.get(f"/ko/consents/{grant_id}/text").text)


# The PDF


def download(stage: Stage, grant_id: str, language: str = "ko") -> Response:
    answer: Response = stage.http.get(f"/{language}/consents/{grant_id}/receipt/1/receipt.pdf")
    return answer


def test_the_pdf_holds_the_korean_that_it_should_say(signed_in: Stage, grant_id: str) -> None:
    answer = download(signed_in, grant_id)
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.content.startswith(b"%PDF-")
    glyphs = pdf_text_glyphs(answer.content)
    for told in ("동의 영수증", "한빛손해보험", "서울한빛병원", "실손보험금 청구와 심사", "받은 날부터 90일"):
        assert set(told) - {" "} <= glyphs, told


def test_the_pdf_is_in_the_language_that_was_read_and_the_same_each_time(
    signed_in: Stage, grant_id: str
) -> None:
    assert download(signed_in, grant_id, "en").content == download(signed_in, grant_id, "ko").content


def test_the_pdf_holds_the_signed_file(signed_in: Stage, grant_id: str) -> None:
    content = download(signed_in, grant_id).content
    signed = signed_in.http.get(f"/ko/consents/{grant_id}/receipt.jws").content
    assert signed in streams_of(content)


def test_names_are_text_and_never_source(
    signed_in: Stage, grant_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = '#panic("x") $x$ *b* @ref <label> \\ #read("/etc/passwd") 가'
    seen: list[dict[str, Any]] = []
    original = signed_in.http.app.state.receipt_printer.print  # type: ignore[attr-defined] # a Starlette app

    def named(receipt: Any, view: Any, words: Any) -> bytes:  # noqa: ANN401 - as the printer takes them
        told = replace(receipt, terms=replace(receipt.terms, recipient_name=evil, holders=(evil,)))
        seen.append({"name": told.terms.recipient_name})
        return bytes(original(told, view, words))

    monkeypatch.setattr(signed_in.http.app.state.receipt_printer, "print", named, raising=False)  # type: ignore[attr-defined] # as above
    answer = download(signed_in, grant_id)
    assert (answer.status_code, seen) == (200, [{"name": evil}])
    assert set(evil) - {" "} <= pdf_text_glyphs(answer.content)


def test_without_a_korean_font_there_is_no_pdf_and_it_is_said_what_to_install(
    signed_in: Stage, grant_id: str
) -> None:
    signed_in.http.app.state.receipt_printer = Printer(fonts=[])  # type: ignore[attr-defined] # a Starlette app
    answer = download(signed_in, grant_id)
    assert answer.status_code == 503
    assert "fonts-noto-cjk" in text_of(answer.text)


# Anybody may check


def check(stage: Stage, receipt: str, language: str = "ko") -> Response:
    stage.http.cookies.clear()
    answer: Response = stage.http.post(f"/{language}/verify", data={"receipt": receipt})
    return answer


@pytest.mark.parametrize(
    ("receipt", "told"),
    [
        ("", "확인할 수 없어요"),
        ("hello", "확인할 수 없어요"),
        ("a.b.c", "진짜가 아니에요"),
        ("{}", "확인할 수 없어요"),
        ("영수증", "확인할 수 없어요"),
        ("e30.e30.AAAA", "진짜가 아니에요"),
    ],
)
def test_what_is_no_receipt_is_not_genuine(stage: Stage, receipt: str, told: str) -> None:
    answer = check(stage, receipt)
    assert answer.status_code == 422
    assert told in text_of(answer.text)


def test_an_edited_receipt_is_not_genuine(signed_in: Stage, grant_id: str) -> None:
    header, claims, signature = signed_in.http.get(f"/ko/consents/{grant_id}/receipt.jws").text.split(".")
    answer = check(signed_in, f"{header}.{claims[:-4]}AAAA.{signature}")
    assert (answer.status_code, "진짜가 아니에요" in text_of(answer.text)) == (422, True)


def test_a_bundle_with_keys_of_its_own_does_not_vouch_for_itself(signed_in: Stage, grant_id: str) -> None:
    publish(signed_in.installation, signed_in.clock())
    made = signed_in.http.get(f"/ko/consents/{grant_id}/receipt/1/proof.json").json()
    made["log_key"], made["jwks"] = "other", {"keys": []}
    assert check(signed_in, json.dumps(made)).status_code == 200  # our own keys are used, not these


@pytest.mark.parametrize("language", ["ko", "en"])
def test_a_stranger_checks_a_receipt_and_its_proof(signed_in: Stage, grant_id: str, language: str) -> None:
    publish(signed_in.installation, signed_in.clock())
    path = f"/ko/consents/{grant_id}/receipt/1"
    files = [signed_in.http.get(f"{path}/{name}").text for name in ("file.jws", "proof.json?opened=true")]
    for file in files:
        answer = check(signed_in, file, language)
        assert answer.status_code == 200
        assert 'id="verified"' in answer.text
        assert grant_id in answer.text


def test_checking_keeps_nothing(signed_in: Stage, grant_id: str) -> None:
    receipt = signed_in.http.get(f"/ko/consents/{grant_id}/receipt.jws").text
    before = len(signed_in.consents()[0].timeline)
    assert check(signed_in, receipt).status_code == 200
    assert len(signed_in.consents()[0].timeline) == before


def test_too_many_checks_are_put_off(stage: Stage) -> None:
    answers = {check(stage, "hello").status_code for _ in range(40)}
    assert answers == {422, 429}


def test_the_verifier_is_there_for_anybody(stage: Stage) -> None:
    answer = stage.http.get("/ko/verify/verifier.pyz")
    assert (answer.status_code, answer.content[:2]) == (200, b"PK")
    assert "verifier.pyz" in stage.http.get("/en/verify").text
