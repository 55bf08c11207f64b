"""Raw events from the page and from the client, over a real lake."""

import pytest
from playwright.sync_api import expect

from mlplatform.client import Client, InvalidRequestError
from mlplatform.home import Home
from mlplatform.serving.app import create_app
from mlplatform.serving.raw.features import RawFeatures
from mlplatform.serving.raw.settings import RawSettings
from mlplatform.serving.scoring import Live, Slot
from mlplatform_tests.serving.browser import Strict, chromium, opened
from mlplatform_tests.serving.over_http import over_http
from mlplatform_tests.serving.raw.conftest import FEATURES, MakeLive
from mlplatform_tests.serving.raw.test_score import EVENT


@pytest.fixture
def live(make_live: MakeLive, settings: RawSettings) -> Live:
    return make_live("1", settings)


@pytest.fixture
def raw(live: Live, home: Home) -> RawFeatures:
    features = RawFeatures(home)
    features.adopt(live)
    return features


def seen(raw: RawFeatures) -> int:
    return int((raw.describe() or {})["seen"])


def test_the_client_scores_events_and_names_the_one_that_is_wrong(live: Live, raw: RawFeatures) -> None:
    events = [{**EVENT, "transaction_id": 70_000 + n, "customer_id": n % 5} for n in range(300)]
    with over_http(create_app(Slot(live), raw=raw)) as url, Client(url) as client:
        one = client.score(EVENT, remember=False)
        before = seen(raw)
        many = client.score_many(events, remember=False)
        assert seen(raw) == before
        client.score(EVENT)
        assert seen(raw) == before + 1
        with pytest.raises(InvalidRequestError) as caught:
            client.score_many([*events, {**EVENT, "amount": -1}])
    assert one.score is not None
    assert {reason.feature for reason in one.reasons} <= set(FEATURES)
    assert len(many) == 300
    assert [(each.row, each.field) for each in caught.value.problems] == [(300, "amount")]


def test_the_page_has_a_form_for_raw_events_that_leaves_nothing_behind(live: Live, raw: RawFeatures) -> None:
    with (
        over_http(Strict(create_app(Slot(live), raw=raw))) as url,
        chromium() as browser,
        opened(browser, f"{url}/") as page,
    ):
        page.get_by_role("radio", name="By raw event").check()
        expect(page.get_by_label("remember", exact=True)).to_have_value("false")
        with page.expect_response("**/score") as sent:
            page.locator("#forms form:visible button[type=submit]").click()
        assert sent.value.status == 200, "the example is of a time that the service knows"
        expect(page.locator("#result .reasons li").first).to_be_visible()
        assert "/score" in page.locator("#code code").inner_text()
    assert seen(raw) == 0
