"""The catalogue: what is refused and how it is named, then what every record type must bring."""

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.errors import Fault, RecordInvalidError, UnknownRecordTypeError
from vault.identifiers import INSTITUTION_GRADES
from vault.record_types.catalogue import Catalogue, RecordType

CATALOGUE = Catalogue.load()
BILL = "health.medical_bill"
POLICY = "insurance.indemnity_policy"


def faults_of(data: object, record_type: str = BILL) -> list[Fault]:
    with pytest.raises(RecordInvalidError) as caught:
        CATALOGUE.validate(record_type, data)
    return caught.value.faults


def bill(**changes: object) -> dict[str, Any]:
    return {**copy.deepcopy(dict(CATALOGUE.get(BILL).example)), **changes}


def test_unknown_record_type() -> None:
    with pytest.raises(UnknownRecordTypeError):
        CATALOGUE.get("health.horoscope")
    with pytest.raises(UnknownRecordTypeError):
        CATALOGUE.validate("health.horoscope", {})


@pytest.mark.parametrize(
    "day", ["2026-02-30", "2026-13-01", "2026-00-10", "20261110", "2026-1-1", "2026-11-10T00:00:00"]
)
def test_impossible_dates_are_refused(day: str) -> None:
    assert faults_of(bill(issue_date=day)) == [Fault("$.issue_date", "format")]


@pytest.mark.parametrize("amount", [-1, 10**12, "31000", 31000.5, None, True])
def test_amounts_are_whole_won(amount: object) -> None:
    data = bill()
    data["totals"]["unpaid"] = amount
    assert {fault.path for fault in faults_of(data)} == {"$.totals.unpaid"}


def test_a_fraction_that_is_zero_is_still_no_whole_number() -> None:
    data = bill()
    data["totals"]["unpaid"] = 0.0
    assert faults_of(data) == [Fault("$.totals.unpaid", "not_a_whole_number")]


def test_every_fault_is_named_at_once_and_none_is_doubled() -> None:
    data = bill(issue_date="2026-02-30", care_type="dental", surprise=1)
    del data["bill_no"]
    del data["institution"]["grade"]
    data["lines"][1]["category"] = "magic"
    data["lines"][2]["noncovered"] = 1
    assert faults_of(data) == [
        Fault("$.bill_no", "required"),
        Fault("$.care_type", "enum"),
        Fault("$.institution.grade", "required"),
        Fault("$.issue_date", "format"),
        Fault("$.lines[1].category", "enum"),
        Fault("$.surprise", "unknown_member"),
        Fault("$.totals.patient_total", "patient_total_adds_up"),
        Fault("$.totals.total", "total_adds_up"),
    ]


@pytest.mark.parametrize(
    "number", ["000101-3000000", "0001013000000", "000101-3******"], ids=["plain", "joined", "masked"]
)
def test_resident_registration_numbers_are_refused_wherever_they_stand(number: str) -> None:
    data = bill(department=f"내과 {number}")
    data["patient"]["patient_no"] = number
    data[number] = 1
    faults = faults_of(data)
    places = {fault.path for fault in faults if fault.rule == "contains_resident_registration_number"}
    assert places == {"$.department", "$.patient.patient_no", "$.?"}


def test_names_that_could_be_values_are_not_told() -> None:
    data = bill()
    data["홍길동"] = data["x" * 41] = data["a b"] = 1
    assert faults_of(data) == [Fault("$.?", "unknown_member")]


def test_text_that_is_no_unicode_is_refused_before_the_schema_reads_it() -> None:
    assert faults_of(bill(department="\ud800")) == [Fault("$.department", "not_unicode_text")]
    assert faults_of({"\udfff": 1}) == [Fault("$.?", "not_unicode_text")]


@pytest.mark.parametrize("data", [None, [], "bill", 7, {}, {"lines": {}}, {"lines": [[]], "totals": []}])
def test_what_is_no_bill_at_all_is_refused_by_the_schema_alone(data: object) -> None:
    rules = {fault.rule for fault in faults_of(data)}
    assert rules <= {"type", "required"}


def test_rules_stay_silent_on_what_the_schema_names() -> None:
    assert faults_of(bill(lines={})) == [Fault("$.lines", "type")]


def test_depth_does_no_harm() -> None:
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    (fault,) = faults_of(bill(department=deep))
    assert fault.rule == "nested_too_deeply"
    assert fault.path.startswith("$.department[0]")


def test_errors_hold_no_value() -> None:
    data = bill()
    data["patient"] = {"name": "비밀" * 200, "patient_no": "비밀"}
    data["bill_no"] = "SECRET SECRET"
    data["totals"]["unpaid"] = 424242
    with pytest.raises(RecordInvalidError) as caught:
        CATALOGUE.validate(BILL, data)
    told = str(caught.value) + repr(caught.value.faults)
    assert not any(secret in told for secret in ("비밀", "SECRET", "424242"))


@pytest.mark.parametrize(
    ("path", "rules"),
    [
        (("totals", "total"), {"total_adds_up"}),
        (("totals", "nhis_total"), {"nhis_total_adds_up"}),
        (("totals", "patient_total"), {"patient_total_adds_up", "payments_add_up"}),
        (("totals", "over_cap"), {"nhis_total_adds_up", "patient_total_adds_up"}),
        (("totals", "paid_before"), {"payments_add_up"}),
        (("totals", "unpaid"), {"payments_add_up"}),
        (("totals", "paid", "cash"), {"payments_add_up"}),
        (("lines", 0, "covered_copay"), {"total_adds_up", "patient_total_adds_up"}),
        (("lines", 0, "covered_nhis"), {"total_adds_up", "nhis_total_adds_up"}),
        (("lines", 1, "covered_full_self"), {"total_adds_up", "patient_total_adds_up"}),
        (("lines", 2, "noncovered"), {"total_adds_up", "patient_total_adds_up"}),
    ],
)
@given(by=st.integers(1, 10_000))
def test_one_amount_that_differs_breaks_the_sums_it_stands_in(
    path: tuple[str | int, ...], rules: set[str], by: int
) -> None:
    data: Any = bill()
    place = data
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] += by
    assert {fault.rule for fault in faults_of(data)} == rules


def test_what_the_cap_gave_back_cannot_exceed_the_share_it_was_taken_from() -> None:
    data = bill()
    totals = data["totals"]
    over = 40_201  # one won more than the covered share of all lines
    totals |= {"over_cap": over, "nhis_total": 40_200 + over, "patient_total": 124_200 - over}
    totals["paid"]["card"] = 124_200 - over
    assert faults_of(data) == [Fault("$.totals.over_cap", "over_cap_within_copay")]
    totals |= {"over_cap": over - 1, "nhis_total": 40_200 + over - 1, "patient_total": 124_200 - over + 1}
    totals["paid"]["card"] = 124_200 - over + 1
    CATALOGUE.validate(BILL, data)


def test_dates_in_order() -> None:
    assert faults_of(bill(period={"from": "2026-11-11", "to": "2026-11-10"})) == [
        Fault("$.period.to", "period_in_order")
    ]
    assert faults_of(bill(period={"from": 20261111, "to": "2026-11-10"})) == [Fault("$.period.from", "type")]


def test_optional_members_may_be_missing() -> None:
    data = bill()
    del data["totals"]["paid_before"]
    del data["institution"]["address"]
    CATALOGUE.validate(BILL, data)


def test_a_mistyped_business_number_is_a_doubt_and_no_fault() -> None:
    data = bill()
    data["institution"]["brn"] = "220-82-10074"
    CATALOGUE.validate(BILL, data)
    assert CATALOGUE.doubts(BILL, data) == (Fault("$.institution.brn", "business_number_checksum"),)
    assert CATALOGUE.doubts(BILL, bill()) == ()


won = st.integers(0, 10_000_000)


@given(
    lines=st.lists(st.tuples(won, won, won, won), min_size=1, max_size=12),
    capped=st.integers(0, 100),
    paid=st.tuples(st.integers(0, 100), st.integers(0, 100)),
)
def test_every_bill_that_adds_up_is_taken(
    lines: list[tuple[int, int, int, int]], capped: int, paid: tuple[int, int]
) -> None:
    names = ("covered_copay", "covered_nhis", "covered_full_self", "noncovered")
    copay, nhis, full_self, noncovered = (sum(column) for column in zip(*lines, strict=True))
    over_cap = copay * capped // 100
    patient_total = copay - over_cap + full_self + noncovered
    card = patient_total * paid[0] // 100
    cash = (patient_total - card) * paid[1] // 100
    data = bill(lines=[{"category": "other", **dict(zip(names, line, strict=True))} for line in lines])
    data["totals"] = {
        "total": copay + nhis + full_self + noncovered,
        "nhis_total": nhis + over_cap,
        "patient_total": patient_total,
        "over_cap": over_cap,
        "paid": {"card": card, "cash_receipt": 0, "cash": cash},
        "unpaid": patient_total - card - cash,
    }
    CATALOGUE.validate(BILL, data)


def test_a_policy_whose_dates_run_backwards() -> None:
    data = copy.deepcopy(dict(CATALOGUE.get(POLICY).example))
    data["end_date"] = "2022-01-09"
    data["ytd_used"]["year_to"] = "2026-01-09"
    assert faults_of(data, POLICY) == [
        Fault("$.end_date", "contract_in_order"),
        Fault("$.ytd_used.year_to", "policy_year_in_order"),
    ]


@pytest.mark.parametrize("generation", [0, 6, 4.0, "4"])
def test_a_policy_of_no_generation(generation: object) -> None:
    data = {**CATALOGUE.get(POLICY).example, "generation": generation}
    assert {fault.path for fault in faults_of(data, POLICY)} == {"$.generation"}


def test_the_codes_of_the_catalogue() -> None:
    assert CATALOGUE.codes() == (
        "credit.loan_balance",
        "employment.history",
        "finance.account",
        "finance.payout_account",
        BILL,
        "health.medical_bill_detail",
        "health.pharmacy_bill",
        "health.prescription",
        "income.certificate",
        POLICY,
        "person.identity",
        "realestate.agent_licence",
        "realestate.fixed_date",
        "realestate.registry",
        "resident.household",
        "tax.clearance",
    )


def test_natural_keys() -> None:
    keys = [CATALOGUE.get(code).natural_key_of(CATALOGUE.get(code).example) for code in CATALOGUE.codes()]
    assert keys == [
        "CR-000117",
        "EI-000117",
        "050/110000000019",
        "088/110000000019",
        "20261110-0031",
        "20261110-0031",
        "R-20261110-07",
        "20261110-00012",
        "2025/employment",
        "HB01/HB-4-000001",
        "HB-R-000117",
        "HB-2016-000308",
        "FD-2024-000731",
        "1101-2008-000206",
        "HH-2024-000117",
        "national",
    ]


def enums_of(schema: dict[str, Any], path: str = "") -> dict[str, list[str]]:
    """Every path of a schema that has coded values."""
    found = {path: schema["enum"]} if "enum" in schema else {}
    for name, member in schema.get("properties", {}).items():
        found |= enums_of(member, f"{path}.{name}".removeprefix("."))
    return found | (enums_of(schema["items"], f"{path}[]") if "items" in schema else {})


def at_path(record: Mapping[str, Any], path: str) -> object:
    data: Any = record
    for step in path.removesuffix("?").split("."):
        data = data[step.removesuffix("[]")]
        data = data[0] if step.endswith("[]") else data
    return data


@pytest.mark.parametrize("record_type", CATALOGUE.types.values(), ids=lambda one: one.code)
class TestEveryRecordType:
    def test_its_example_is_valid(self, record_type: RecordType) -> None:
        CATALOGUE.validate(record_type.code, dict(record_type.example))

    def test_its_fields_are_the_members_of_its_schema(self, record_type: RecordType) -> None:
        assert list(record_type.fields) == list(record_type.schema["properties"])

    def test_it_speaks_both_languages(self, record_type: RecordType) -> None:
        texts = [record_type.labels, record_type.description]
        texts += [text for info in record_type.fields.values() for text in (info.label, info.description)]
        texts += [words for values in record_type.value_labels.values() for words in values.values()]
        assert all(set(text) == {"ko", "en"} and all(text.values()) for text in texts)
        assert record_type.label("ko") != record_type.label("en")

    def test_its_coded_values_have_words(self, record_type: RecordType) -> None:
        coded = enums_of(dict(record_type.schema))
        grades = coded.pop("institution.grade", None)
        assert {path: list(words) for path, words in record_type.value_labels.items()} == coded
        assert grades in (None, list(INSTITUTION_GRADES))

    def test_its_paths_lead_somewhere(self, record_type: RecordType) -> None:
        paths = [*record_type.natural_key, *record_type.plain_numbers]
        for rule in record_type.invariants:
            start = "" if rule.each is None else f"{rule.each}[]."
            paths += [start + path for path in (rule.at, *(path for path, _ in rule.terms))]
        for place in record_type.filters.values():
            paths += [place] if isinstance(place, str) else list(place.values())
        assert all(at_path(record_type.example, path) is not None for path in paths)

    def test_no_object_in_it_is_open(self, record_type: RecordType) -> None:
        text = json.dumps(dict(record_type.schema))
        assert text.count('"type": "object"') == text.count('"additionalProperties": false')

    def test_it_is_frozen(self, record_type: RecordType) -> None:
        with pytest.raises(AttributeError):
            record_type.revision = 2  # type: ignore[misc]  # the point of the test
        with pytest.raises(TypeError):
            record_type.fields["x"] = record_type.fields[next(iter(record_type.fields))]  # type: ignore[index]  # same
