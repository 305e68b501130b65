"""report.html in headless Chromium: offline, with and without script, on a phone, on a desk, in the dark, on paper."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from spikeport.sim.report import html, parse

from ..sim.report.conftest import example

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

PHONE, DESK = (360, 740), (1280, 900)
SMALLEST_WORDS_PX, SMALLEST_LABEL_PX = 12.5, 9.0
LEAST_CONTRAST, LEAST_CONTRAST_ON_A_TINT = 4.5, 3.9

# Everything that sticks out of the page and cannot be reached by scrolling its own container.
OUTSIDE = """
() => [...document.querySelectorAll("body *")].filter(e => !e.closest(".scroll, pre, svg"))
  .filter(e => { const r = e.getBoundingClientRect();
    return r.width && (r.right > innerWidth + 0.5 || r.left < -0.5); })
  .map(e => e.tagName + " " + (e.className || e.textContent.slice(0, 40)))
"""
# [size in px, text] of every piece of text; in a figure, as scaled.
SIZES = """
inFigures => [...document.querySelectorAll(inFigures ? "svg text" : "body *:not(svg *)")]
  .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) && e.getClientRects().length)
  .map(e => [parseFloat(getComputedStyle(e).fontSize) * (inFigures ? e.ownerSVGElement.getScreenCTM().a : 1),
             e.textContent])
"""
# Labels that leave their figure by more than two pixels.
CUT = """
() => [...document.querySelectorAll("svg text")].filter(e => {
  const t = e.getBoundingClientRect(), s = e.ownerSVGElement.getBoundingClientRect();
  return t.left < s.left - 2 || t.right > s.right + 2 || t.top < s.top - 2 || t.bottom > s.bottom + 2;
}).map(e => e.textContent)
"""
# [figure, label, contrast, whether something is painted behind it], by the formula of WCAG 2.
CONTRASTS = """
() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const paper = rgb(getComputedStyle(document.body).backgroundColor).slice(0, 3);
  const over = (top, alpha, below) => below.map((b, i) => alpha * top[i] + (1 - alpha) * b);
  const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = c => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  return [...document.querySelectorAll("svg text")].map(text => {
    const box = text.getBoundingClientRect();
    const behind = document.elementsFromPoint(box.x + box.width / 2, box.y + box.height / 2)
      .filter(e => e.tagName === "path" && e.ownerSVGElement === text.ownerSVGElement)
      .map(e => getComputedStyle(e)).filter(s => s.fill !== "none").reverse();
    const ground = behind.reduce((below, s) => over(rgb(s.fill), s.opacity * s.fillOpacity, below), paper);
    const [a, b] = [light(rgb(getComputedStyle(text).fill)), light(ground)].sort((x, y) => y - x);
    return [text.ownerSVGElement.querySelector("title").textContent, text.textContent, (a + 0.05) / (b + 0.05),
            behind.length > 0];
  });
}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(html.render(parse(example())), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Names without a place to break at, and enough rows for every table to fold."""
    values = example()
    values["recipe"] = "recipe_" * 12
    for row in values["layers"]:
        row["name"] = f"{row['name']}_of_a_network_" * 5
    values["notices"] *= 10
    values["refusals"][0]["why"] = "w" * 90
    path = tmp_path_factory.mktemp("crowded") / "report.html"
    path.write_text(html.render(parse(values)), encoding="utf-8")
    return path


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a file; whatever else the page asks for is refused, and fails the test, as does any complaint."""
    contexts, asked, complaints = [], [], []

    def answer(route: Any) -> None:
        asked.append(route.request.url)
        route.continue_() if route.request.url.startswith("file:") else route.abort()

    def open_page(file: Path, size: tuple[int, int] = DESK, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        contexts.append(context)
        context.route("**/*", answer)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(file.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [url for url in asked if not re.fullmatch(r"file:.*/report\.html", url)] == []
    assert len(asked) == len(contexts)
    assert complaints == []


def test_the_page_asks_for_nothing_and_complains_of_nothing(visit: Callable[..., Any], file: Path):
    page = visit(file)
    assert page.title() == "Spikeport report: digits"
    assert page.evaluate("performance.getEntriesByType('resource').length") == 0
    assert page.locator("script, link, img, iframe").count() == 0


def test_a_request_would_have_been_seen(browser: Any, tmp_path: Path):
    path = tmp_path / "report.html"
    path.write_text("<!doctype html><img src='http://localhost:9/x.png' alt=''>")
    asked = []
    with browser.new_context() as context:
        context.route("**/*", lambda route: (asked.append(route.request.url), route.continue_()))
        context.new_page().goto(path.as_uri())
    assert "http://localhost:9/x.png" in asked


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_every_link_of_the_contents_leads_to_a_section_in_view(script: bool, visit: Callable[..., Any], file: Path):
    page = visit(file, PHONE, java_script_enabled=script)
    links = page.get_by_role("navigation").get_by_role("link").all()
    assert len(links) == page.locator("section").count() == 12
    for link in links:
        target = page.locator(f"h2{link.get_attribute('href')}")
        link.click()
        sync_api.expect(target).to_be_in_viewport()
        assert target.inner_text() == link.inner_text()


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_what_is_folded_opens_by_a_click(script: bool, visit: Callable[..., Any], file: Path):
    page = visit(file, PHONE, java_script_enabled=script)
    folds = page.locator("details").all()
    assert len(folds) >= 6
    for fold in folds:
        content = fold.locator("table, ul").first
        sync_api.expect(content).to_be_hidden()
        fold.locator("summary").click()
        sync_api.expect(content).to_be_visible()


def test_a_fold_opens_by_key_too(visit: Callable[..., Any], file: Path):
    fold = visit(file).locator("details").first
    fold.locator("summary").press("Enter")
    sync_api.expect(fold.locator("table")).to_be_visible()


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("which", ["file", "crowded"])
def test_nothing_is_wider_than_the_screen_or_too_small(
    which: str, size: tuple[int, int], visit: Callable[..., Any], request: pytest.FixtureRequest
):
    page = visit(request.getfixturevalue(which), size)
    page.locator("details").evaluate_all("all => all.forEach(fold => { fold.open = true; })")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= size[0]
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate(CUT) == []
    for in_figures, smallest in ((False, SMALLEST_WORDS_PX), (True, SMALLEST_LABEL_PX)):
        sizes = page.evaluate(SIZES, in_figures)
        assert len(sizes) > 100
        assert [text for size_px, text in sizes if size_px < smallest] == []


def test_a_wide_table_scrolls_inside_its_own_box(visit: Callable[..., Any], file: Path):
    page = visit(file, PHONE)
    box = page.locator(".scroll", has=page.locator("table.activity"))
    assert box.evaluate("e => e.scrollWidth > e.clientWidth")
    last = box.locator("thead th").last
    sync_api.expect(last).not_to_be_in_viewport()
    last.scroll_into_view_if_needed()
    sync_api.expect(last).to_be_in_viewport()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_label_can_be_read_on_its_ground(scheme: str, visit: Callable[..., Any], file: Path):
    page = visit(file, color_scheme=scheme)
    red, green, blue = map(int, re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor")))
    assert (red + green + blue > 600) == (scheme == "light")
    page.set_viewport_size({"width": DESK[0], "height": page.evaluate("document.documentElement.scrollHeight")})
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 150
    assert sum(tinted for *_, tinted in contrasts) >= 32  # at least the cells of two heat maps
    faint = [found for found in contrasts if found[2] < (LEAST_CONTRAST_ON_A_TINT if found[3] else LEAST_CONTRAST)]
    assert faint == []


def test_every_figure_is_seen_and_has_a_name_and_a_description(visit: Callable[..., Any], file: Path):
    page = visit(file)
    figures = page.get_by_role("figure").all()
    assert len(figures) == page.locator("svg").count() == 18
    for figure in figures:
        caption = figure.locator("figcaption").inner_text().replace("\u00a0", " ")
        image = figure.get_by_role("img", name=caption)
        sync_api.expect(image).to_be_visible()
        box = image.bounding_box()
        assert box
        assert box["width"] > 300
        assert box["height"] > 60
        assert len(image.locator("desc").text_content() or "") > len(caption)


def test_on_paper_what_was_folded_is_printed(visit: Callable[..., Any], file: Path):
    page = visit(file)
    table = page.locator("details table").first
    sync_api.expect(table).to_be_hidden()
    page.emulate_media(media="print")
    sync_api.expect(table).to_be_visible()
