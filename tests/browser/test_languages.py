"""The page speaks the language of the browser, or that of its address."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, expect

from demo.words import FIRST, LANGUAGES
from pipeline.settings.rests import NEGATIVE_RESTS
from tests.browser.conftest import blank, settled

if TYPE_CHECKING:
    from tests.browser.conftest import App

pytestmark = pytest.mark.browser


RESTS = {"en": NEGATIVE_RESTS, "de": LANGUAGES["de"]["resting"]["negative_prompt"]}


@pytest.mark.parametrize(
    ("locale", "query", "language"), [("de-DE", "", "de"), ("de-DE", "?lang=en", "en"), ("en-US", "?lang=de", "de")]
)
def test_the_browser_picks_the_language_and_the_address_goes_before_it(
    browser: Browser, quick_app: App, locale: str, query: str, language: str
) -> None:
    said, other = LANGUAGES[language], LANGUAGES[FIRST if language != FIRST else "de"]
    with blank(browser, locale=locale) as page:
        page.goto(quick_app.url + query, wait_until="domcontentloaded")
        settled(page)
        for room, name in ("page", "rest"), ("page", "like_embedded"), ("status", "idle"), ("styles", "watercolor"):
            expect(page.get_by_text(said[room][name], exact=True).first).to_be_visible()
            expect(page.get_by_text(other[room][name], exact=True)).to_have_count(0)
        expect(page.locator("#negative_prompt")).to_have_attribute("data-resting", RESTS[language])
