"""What the recipient must delete, on the citizen's page: by when, late, proven, doubted."""

import pytest

from consent.vocabulary import ObligationState
from tests.consent.keeping import Keeper
from tests.consent.office import Office
from tests.web.stage import Form, Stage, text_of
from vault.jose import generate_private_jwk


@pytest.fixture
def grant_id(signed_in: Stage) -> str:
    return signed_in.agreed()


@pytest.fixture
def keeper(signed_in: Stage) -> Keeper:
    return Keeper(Office(signed_in.installation, signed_in.clock, signed_in.subject_id))


def page(stage: Stage, grant_id: str, language: str = "ko") -> str:
    answer = stage.http.get(f"/{language}/consents/{grant_id}")
    assert answer.status_code == 200
    return str(answer.text)


def dispute(stage: Stage, grant_id: str) -> int:
    data = Form(page(stage, grant_id)).fields
    return int(stage.http.post(f"/ko/consents/{grant_id}/dispute", data=data).status_code)


def test_without_a_delivery_there_is_nothing_to_delete(
    signed_in: Stage, grant_id: str, keeper: Keeper
) -> None:
    assert 'id="deletion"' not in page(signed_in, grant_id)
    assert signed_in.http.post(f"/ko/consents/{grant_id}/dispute").status_code in {403, 404}
    assert dispute(signed_in, grant_id) == 404
    keeper.deliver(grant_id, days=0)
    assert 'id="deletion"' not in page(signed_in, grant_id)


def test_somebody_elses_cannot_be_doubted(signed_in: Stage, grant_id: str, keeper: Keeper) -> None:
    keeper.deliver(grant_id)
    keeper.attest(grant_id)
    fields = Form(page(signed_in, grant_id)).fields
    signed_in.http.cookies.clear()
    assert signed_in.sign_in("jeongsuk").status_code == 303
    token = Form(signed_in.http.get("/ko").text).fields
    answer = signed_in.http.post(f"/ko/consents/{grant_id}/dispute", data=fields | token)
    assert answer.status_code == 404
    assert keeper.view(grant_id).state is ObligationState.ATTESTED


def test_what_is_due_and_what_is_late(signed_in: Stage, grant_id: str, keeper: Keeper) -> None:
    keeper.deliver(grant_id)
    assert "지워야 해요" in text_of(page(signed_in, grant_id))
    assert 'id="dispute"' not in page(signed_in, grant_id)
    keeper.office.withdraw(grant_id)
    told = text_of(page(signed_in, grant_id))
    assert "공유를 멈추셨어요" in told
    assert "2026. 12. 4." in told
    assert dispute(signed_in, grant_id) == 303
    assert keeper.view(grant_id).state is ObligationState.PENDING
    keeper.attest(grant_id, keeper.attestation(grant_id, key=generate_private_jwk("ES256")))
    assert "받는 곳의 열쇠로 서명하지 않았어요" in text_of(page(signed_in, grant_id))
    keeper.wait(grant_id, 3)
    signed_in.sign_in()
    told = text_of(page(signed_in, grant_id))
    assert "늦음: 지웠다는 증명이 없어요" in told
    assert "Late: no proof of deletion" in text_of(page(signed_in, grant_id, "en"))


def test_proof_and_doubt(signed_in: Stage, grant_id: str, keeper: Keeper) -> None:
    keeper.deliver(grant_id)
    keeper.office.withdraw(grant_id)
    keeper.attest(grant_id)
    told = page(signed_in, grant_id)
    assert "지웠다고 서명했어요" in text_of(told)
    assert "삭제" in text_of(told)
    assert 'id="dispute"' in told
    assert dispute(signed_in, grant_id) == 303
    assert keeper.view(grant_id).state is ObligationState.DISPUTED
    told = page(signed_in, grant_id)
    assert "의심된다고 하셨어요" in text_of(told)
    assert 'id="dispute"' not in told
    assert "Doubted by you" in text_of(page(signed_in, grant_id, "en"))
