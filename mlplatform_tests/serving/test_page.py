"""The page of a service in a real browser, under the strictest Content-Security-Policy."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from mlplatform.contracts.rules import Rule, dump_rules
from mlplatform.ml.train import train_candidate
from mlplatform.serving.api_keys import create_key
from mlplatform.serving.app import create_app
from mlplatform.serving.authentication import Authentication, KeyFile
from mlplatform.serving.bundle import CARD, load_bundle, write_manifest
from mlplatform.serving.guard import Guard
from mlplatform.serving.journal import JournalSettings
from mlplatform.serving.outcome_names import OutcomeNames
from mlplatform.serving.scoring import Live, Slot
from mlplatform.serving.security import Security
from mlplatform_tests.ml.data import AS_OF
from mlplatform_tests.ml.test_tables import rows, training
from mlplatform_tests.serving.browser import Strict, chromium, opened
from mlplatform_tests.serving.conftest import FEATURES, MakeBundle
from mlplatform_tests.serving.over_http import over_http
from mlplatform_tests.serving.test_lookup import films, sales  # noqa: F401

HOSTILE = "<img src=x onerror=alert(1)>"
MODEL_CARD = f"""# fraud v1

It says **what** it is, {HOSTILE}.

## Figures

| figure | value |
| --- | --- |
| auc | 0.9 \\| 0.8 |

- Learned from `few` rows.
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def bundle(sealed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a card, and a journal that asks for keys."""
    folder = tmp_path_factory.mktemp("carded") / "bundle"
    shutil.copytree(sealed, folder)
    (folder / CARD).write_text(MODEL_CARD)
    JournalSettings(True, ("transaction_id",), "event_time", FEATURES).save(folder)
    OutcomeNames("fraudulent", "legitimate").save(folder)
    write_manifest(folder, "fraud", "1", {})
    return folder


@pytest.fixture(scope="module")
def url(bundle: Path) -> Iterator[str]:
    with over_http(Strict(create_app(Slot(Live.of(load_bundle(bundle), "fraud:v1"))))) as address:
        yield f"{address}/"


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    with opened(browser, url) as one:
        yield one


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Low, middle or high."""
    folder = tmp_path_factory.mktemp("classes") / "bundle"
    folder.mkdir()
    asked = training("multiclass", {"kind": "lightgbm", "name": "c", "rounds": 20, "tuning": {"trials": 0}})
    found = train_candidate(rows("multiclass"), asked.candidates[0], asked, event_time="event_time", as_of=AS_OF)
    found.model.save(folder)
    rules = [Rule(name=name, type="float", example=0.5) for name in "ab"]
    shop = Rule(name="shop", type="string", categories=["x", "y"], example="x")
    (folder / "contract.json").write_text(dump_rules([*rules, shop]))
    write_manifest(folder, "case", "1", {})
    return folder


def send(page: Page) -> None:
    page.locator("#forms form:visible button[type=submit]").click()


def code(page: Page) -> str:
    return page.locator("#code code").inner_text()


def test_the_form_asks_for_each_feature_as_the_contract_has_it(page: Page) -> None:
    fields = page.locator("form:visible .fields").first
    expect(fields.locator(".field")).to_have_count(6)
    expect(page.get_by_label("amount", exact=True)).to_have_value("12.5")
    expect(fields).to_contain_text("Euros <gross> · number, 0 to 10,000")
    expect(page.get_by_label("channel", exact=True).locator("option")).to_have_text(["chip", "online", "swipe"])
    expect(page.get_by_label("is_night", exact=True).locator("option")).to_have_text(["true", "false"])
    expect(page.get_by_label("null for risk")).not_to_be_checked()
    expect(page.get_by_label("transaction_id", exact=True)).to_have_value("")


def test_a_sent_form_shows_score_threshold_reasons_and_who_answered(page: Page) -> None:
    page.get_by_label("amount", exact=True).fill("490")
    page.get_by_label("null for risk").check()
    expect(page.get_by_label("risk", exact=True)).to_be_disabled()
    with page.expect_response("**/predict") as sent:
        send(page)
    answer, asked = sent.value.json(), sent.value.request.post_data_json
    assert (asked["amount"], asked["risk"], asked["is_night"]) == (490, None, False)
    assert "transaction_id" not in asked

    result = page.locator("#result")
    decided = "fraudulent" if answer["decision"] else "legitimate"
    expect(result.locator(".figure")).to_have_text(re.compile(f"^{decided}probability of fraudulent: 0"))
    expect(result).to_contain_text("threshold 0.3")
    expect(result.locator(".reasons li")).to_have_count(3)
    expect(result.locator(".reasons li").first).to_contain_text(answer["reasons"][0]["feature"])
    expect(result.locator(".facts")).to_contain_text("fraud v1")
    expect(result.locator(".facts")).to_contain_text(answer["request_id"])
    expect(result.locator(".facts")).to_contain_text(re.compile(r"[\d.]+ ms"))
    width = result.locator(".score .fill").bounding_box()
    assert width is not None
    assert width["width"] > 0, "drawn under a policy that forbids inline styles"


def test_what_breaks_the_contract_is_said_beside_its_field(page: Page) -> None:
    page.get_by_label("amount", exact=True).fill("-1")
    page.get_by_label("count_7d", exact=True).fill("many")
    page.get_by_label("risk", exact=True).fill("")
    send(page)
    amount, count, risk = (page.get_by_label(name, exact=True) for name in ("amount", "count_7d", "risk"))
    expect(amount).to_have_accessible_description(re.compile("is below the minimum; allowed: a number, at least 0"))
    expect(count).to_have_accessible_description(re.compile("is text; allowed: a whole number"))
    expect(risk).to_have_accessible_description(re.compile("is missing"))
    expect(amount).to_have_attribute("aria-invalid", "true")
    expect(amount).to_be_focused()
    expect(page.get_by_role("alert").filter(has_text="3 problems in the rows")).to_be_visible()

    page.get_by_role("button", name="Reset").first.click()
    send(page)
    expect(page.locator("#result .figure")).to_be_visible()
    expect(page.locator(".error:visible")).to_have_count(0)


def test_a_long_id_keeps_all_its_digits(page: Page) -> None:
    page.get_by_label("transaction_id", exact=True).fill("9007199254740993")
    with page.expect_response("**/predict") as sent:
        send(page)
    assert '"transaction_id": 9007199254740993' in (sent.value.request.post_data or "")
    assert sent.value.status == 200


def test_the_snippets_follow_the_form_and_each_is_what_would_be_sent(page: Page, tmp_path: Path) -> None:
    page.get_by_label("null for risk").check()
    page.get_by_label("channel", exact=True).select_option("online")
    body = json.loads(re.findall(r"-d '(.*)'$", code(page), re.S)[0])
    assert (body["channel"], body["risk"]) == ("online", None)
    page.get_by_label("Python", exact=True).check()
    assert '"risk": None' in code(page)
    assert '"is_night": False' in code(page)
    compile(code(page), "snippet", "exec")
    page.get_by_label("mlplatform.client").check()
    assert "client.predict({" in code(page)
    compile(code(page), "snippet", "exec")
    page.get_by_label("JavaScript").check()
    assert '"risk": null' in code(page)
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("status")).to_have_text(re.compile("Copied|Selected"))


def test_many_rows_are_sent_as_json_and_answered_as_a_list(page: Page) -> None:
    page.get_by_role("radio", name="Many rows").check()
    area = page.get_by_role("textbox", name="JSON")
    request = json.loads(area.input_value())
    area.fill(json.dumps({"rows": request["rows"] * 3}))
    send(page)
    expect(page.locator(".entries > li")).to_have_count(3)
    expect(page.locator(".entries > li").first).to_contain_text(" · legitimate")
    area.fill(json.dumps({"rows": [{**request["rows"][0], "amount": -1}]}))
    send(page)
    expect(area).to_have_accessible_description(re.compile("row 0, amount is below the minimum"))


def test_the_card_is_shown_and_what_it_says_is_never_html(page: Page) -> None:
    card = page.get_by_role("region", name="Model card")
    expect(card.get_by_role("heading", name="fraud v1")).to_be_visible()
    expect(card).to_contain_text(HOSTILE)
    expect(card.get_by_role("cell", name="0.9 | 0.8")).to_be_visible()
    expect(card.locator("img")).to_have_count(0)
    expect(card.locator("strong")).to_have_text("what")
    expect(card.locator("code")).to_have_text("few")


def test_everything_can_be_done_with_the_keyboard(page: Page) -> None:
    first = page.get_by_role("radio", name="By features")
    first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="Many rows")).to_be_checked()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Tab")
    expect(page.get_by_label("amount", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#result .figure")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_wider_than_the_screen_and_the_answer_comes_into_view(
    browser: Browser, url: str, scheme: str, tmp_path: Path
) -> None:
    with opened(browser, url, 390, 844, scheme) as page:
        send(page)
        expect(page.locator("#result .figure")).to_be_in_viewport()
        for name in ("By features", "Many rows"):
            page.get_by_role("radio", name=name).check()
            assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.screenshot(path=tmp_path / f"phone-{scheme}.png", full_page=True)
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(246, 247, 249)", "dark": "rgb(18, 21, 28)"}[scheme]


def test_text_stands_out_from_its_ground_in_both_schemes(browser: Browser, url: str) -> None:
    """WCAG AA: 4.5 to 1."""
    pairs = (
        "ink panel",
        "quiet panel",
        "quiet paper",
        "quiet soft",
        "accent paper",
        "on-accent accent",
        "bad bad-soft",
    )
    for scheme in ("light", "dark"):
        with opened(browser, url, scheme=scheme) as page:
            read = "name => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim()"
            for pair in pairs:
                light, dark = sorted((luminance(page.evaluate(read, name)) for name in pair.split()), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{pair} in {scheme}"


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_key_is_asked_for_first_and_its_candidates_come_as_a_list(browser: Browser, films: Path) -> None:  # noqa: F811
    with (
        over_http(Strict(create_app(Slot(Live.of(load_bundle(films), "case:v1"))))) as address,
        opened(browser, f"{address}/") as page,
    ):
        expect(page.get_by_role("radio", name="By key")).to_be_checked()
        page.get_by_label("k", exact=True).fill("4")
        send(page)
        expect(page.locator(".entries > li")).to_have_count(4)
        expect(page.locator(".entries > li").first).to_contain_text("film")
        page.get_by_text("Reasons").first.click()
        expect(page.locator(".entries .reasons li").first).to_be_visible()
        page.get_by_label("user_id", exact=True).fill("99")
        send(page)
        expect(page.get_by_text("This key is not known")).to_be_visible()
        page.get_by_label("user_id", exact=True).fill("nobody")
        send(page)
        expect(page.get_by_role("alert").filter(has_text="user_id must be a whole number")).to_be_visible()


def test_forecasts_are_drawn_as_a_fan(browser: Browser, sales: Path) -> None:  # noqa: F811
    with (
        over_http(Strict(create_app(Slot(Live.of(load_bundle(sales), "case:v1"))))) as address,
        opened(browser, f"{address}/") as page,
    ):
        send(page)
        expect(page.get_by_role("img", name=re.compile("Forecast of 7 steps"))).to_be_visible()
        expect(page.locator(".fan circle")).to_have_count(7)
        page.get_by_role("radio", name="By features").check()
        send(page)
        expect(page.locator("#result .dot.middle")).to_be_visible()


def test_of_several_classes_the_likeliest_is_named(browser: Browser, classes: Path) -> None:
    with (
        over_http(Strict(create_app(Slot(Live.of(load_bundle(classes), "case:v1"))))) as address,
        opened(browser, f"{address}/") as page,
    ):
        with page.expect_response("**/predict") as sent:
            send(page)
        answer = sent.value.json()
        expect(page.locator("#result .figure")).to_contain_text(f"{answer['class']}probability 0")
        expect(page.locator("#result .score .entries > li")).to_have_count(3)
        page.get_by_role("radio", name="Many rows").check()
        send(page)
        expect(page.locator(".entries > li").first).to_contain_text(f" · {answer['class']}")


def test_behind_a_key_the_page_takes_one_that_stays_in_the_tab(browser: Browser, bundle: Path, tmp_path: Path) -> None:
    """Opened with the key as the browser's password; another one can be entered on the page."""
    file = tmp_path / "keys.json"
    first, second = create_key(file, "shop"), create_key(file, "till")
    keys = KeyFile(str(file))
    keys.check()
    guarded = Guard(
        create_app(Slot(Live.of(load_bundle(bundle), "fraud:v1"))), Security(None, Authentication(keys, None))
    )
    with over_http(Strict(guarded)) as address, opened(browser, f"{address}/", password=first) as page:
        send(page)
        expect(page.locator("#result .figure")).to_be_visible()
        expect(page.get_by_role("region", name="Model card")).to_be_visible()
        enter(page, "wrong")
        send(page)
        expect(page.locator("#forms form:visible .whole")).to_contain_text("is not valid")
        expect(page.locator("#result .figure")).to_have_count(0)
        enter(page, second)
        with page.expect_response("**/predict") as sent:
            send(page)
        assert sent.value.status == 200
        assert sent.value.request.headers["authorization"] == f"Bearer {second}"
        assert "$API_KEY" in code(page)
        assert second not in page.content()
        kept = page.evaluate("[localStorage.length, document.cookie, Object.values(sessionStorage)]")
    assert kept == [0, "", [second]]


def enter(page: Page, key: str) -> None:
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Use this key").click()


def test_an_answer_of_a_newer_version_says_that_the_page_is_old(
    browser: Browser, bundle: Path, make_bundle: MakeBundle
) -> None:
    slot = Slot(Live.of(load_bundle(bundle), "fraud:v1"))
    with over_http(Strict(create_app(slot))) as address, opened(browser, f"{address}/") as page:
        expect(page.get_by_role("button", name="Send request").first).to_be_visible()
        slot.swap(Live.of(load_bundle(make_bundle("2")), "fraud:v2"))
        send(page)
        expect(page.locator("#result")).to_contain_text("Version 2 answered")
