"""The playground in a real browser, on the real server: the whole path, and whatever can go wrong.

What the engine cannot be made to do on demand (be slow, break off, say HTML) is said by the browser
in its place, on the same page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from tests.e2e.browser import Tab, chromium
from tests.e2e.posts import QUOTED
from tests.servers import RunningServer

pytestmark = [pytest.mark.engine, pytest.mark.slow]

DESK = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 740}
HTML = '<img src=x onerror="document.title=1"><b>bold</b> & so on'


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


@pytest.fixture
def tab(browser: Browser, embedded_server: RunningServer) -> Iterator[Tab]:
    one = Tab(browser, embedded_server.url)
    yield one
    one.close()
    assert not one.complaints
    assert all(url.startswith((embedded_server.url, "blob:")) for url in one.asked)  # nobody else's


def answer(question: str = "stress", **fields: Any) -> dict[str, Any]:
    return {
        "task": question.partition(".")[0],
        "question": question,
        "question_text": "Does the poster suffer from stress?",
        "label": "yes",
        "probability": 0.9,
        "probabilities": {"yes": 0.9, "no": 0.1},
        "label_mass": 0.99,
        "abstained": False,
        "candidate": "yes",
        "urgent": False,
        "explanation": None,
        "evidence": [],
        "consistency": None,
        "finish_reason": None,
        **fields,
    }


def sse(*said: tuple[str, Any]) -> str:
    return "".join(f"event: {event}\ndata: {json.dumps(data)}\n\n" for event, data in said)


def result(*answers: dict[str, Any], resources: str | None = None) -> tuple[str, Any]:
    one = {"index": 0, "answers": list(answers), "truncated": [], "error": None}
    return "result", {"results": [one], "resources": resources}


def said_by(body: str) -> Callable[[Route], None]:
    return lambda route: route.fulfill(content_type="text/event-stream", body=body)


def analyse(page: Page, text: str) -> None:
    page.fill("#post", text)
    page.click("#go")


def test_from_a_post_to_an_explained_answer(tab: Tab) -> None:
    page = tab.open()
    tab.pick("depression", "stress", "depression_cause")
    page.check('input[value="always"]')
    analyse(page, QUOTED)
    expect(page.locator("article")).to_have_count(3, timeout=60_000)
    expect(page.locator("#status")).to_contain_text("3 questions answered", timeout=120_000)
    expect(page.locator("article .explanation")).to_have_count(3)
    shares = page.locator("article .share").all_text_contents()
    assert len(shares) == 2 + 2 + 6
    assert all(re.fullmatch(r"[<>]?\d+%", one) for one in shares)
    assert not {"null", "undefined"} & set(re.findall(r"\w+", page.inner_text("#answers")))
    quotes = page.locator(".quotes button")
    quotes.first.focus()
    lit = page.locator("mark.lit").all_text_contents()
    quote = (quotes.first.text_content() or "").strip("\u201c\u201d")
    assert "".join(lit) == quote in QUOTED  # behind characters of two UTF-16 units each
    tab.shot("desk-light")
    quotes.first.blur()
    assert not page.locator("mark.lit").count()
    page.click(".code summary")
    assert '"explain":"always"' in (page.text_content("#snippet") or "")
    page.click("#as-python")
    compile(page.text_content("#snippet") or "", "snippet", "exec")


def test_a_file_of_posts_becomes_a_table_and_a_download(tab: Tab) -> None:
    page = tab.open()
    tab.pick("stress")
    page.check('input[value="never"]')
    content = 'id,post\n1,"Too much, again"\n2,"I said ""no"" and\nwent home"\n3,\n4,Rest\n5,Tea\n'
    page.set_input_files(
        "#file", {"name": "posts.csv", "mimeType": "text/csv", "buffer": content.encode()}
    )
    expect(page.locator("#file-said")).to_contain_text("5 posts, column post")
    page.click("#go")
    expect(page.locator("#status")).to_contain_text("5 posts read, 1 of them", timeout=60_000)
    assert page.locator("#batch tbody tr").count() == 5
    assert page.locator("#batch td.failed").count() == 1
    tab.shot("file")
    with page.expect_download() as download:
        page.click("text=Download JSON lines")
    rows = [json.loads(line) for line in download.value.path().read_text().splitlines()]
    assert [row["row"] for row in rows] == [0, 1, 2, 3, 4]
    assert rows[1]["text"] == 'I said "no" and\nwent home'
    assert rows[2]["error"]["code"] == "empty_text"
    with page.expect_download() as download:
        page.click("text=Download CSV")
    assert download.value.suggested_filename == "posts-answers.csv"
    page.click("text=Remove")
    expect(page.locator("#post")).to_be_enabled()


def test_a_file_can_be_dropped_on_the_box(tab: Tab) -> None:
    page = tab.open()
    page.evaluate(
        """() => {
          const data = new DataTransfer();
          data.items.add(new File(['one\\ntwo\\n'], 'posts.txt'));
          const event = new DragEvent('drop', {dataTransfer: data, cancelable: true});
          document.getElementById('drop').dispatchEvent(event);
        }"""
    )
    expect(page.locator("#file-said")).to_contain_text("2 posts, a line each")
    expect(page.locator("#go")).to_have_text("Analyse 2 posts")


def test_the_services_own_refusal_is_shown(tab: Tab) -> None:
    page = tab.open()
    page.click("#go")
    expect(page.locator("#error")).to_contain_text("no post yet")
    analyse(page, "tired " * 20_000)
    expect(page.locator("#error")).to_contain_text("characters", timeout=30_000)
    expect(page.locator("#go")).to_be_enabled()


def test_text_that_looks_like_html_is_text(tab: Tab) -> None:
    found = answer(
        explanation=f'It says "{HTML}".',
        evidence=[{"quote": HTML, "start": 0, "end": len(HTML)}],
        consistency=0.9,
        finish_reason="stop",
    )
    label = ("label", {"index": 0, "answer": answer()})
    tab.page.route("**/analyze", said_by(sse(label, result(found))))
    page = tab.open()
    analyse(page, HTML)
    expect(page.locator("article .explanation")).to_contain_text(HTML)
    assert page.text_content("#shown-post") == HTML
    assert page.title() == "MentalLLaMA playground"
    assert not page.locator("main img, main b").count()


def test_doubt_is_said(tab: Tab) -> None:
    found = answer(
        label=None,
        abstained=True,
        probability=0.52,
        probabilities={"yes": 0.52, "no": 0.48},
        label_mass=0.12,
        explanation="It does not say.",
        consistency=0.2,
        finish_reason="length",
    )
    tab.page.route("**/analyze", said_by(sse(result(found))))
    page = tab.open()
    analyse(page, "maybe")
    said = page.locator(".doubts li")
    expect(said).to_have_count(4)
    text = " ".join(said.all_text_contents())
    assert all(one in text for one in ("Undecided", "12%", "does not support", "cut off"))
    tab.shot("doubt")


def test_an_urgent_answer_shows_where_help_is(tab: Tab) -> None:
    one = answer("mental_disorder.swmh", candidate="suicide", label="suicide", urgent=True)
    one["probabilities"] = {"suicide": 0.8, "depression": 0.1, "none": 0.1}
    one["question_text"] = "What mental disorder symptoms does this post show?"
    said = sse(("label", {"index": 0, "answer": one}), result(one, resources="Call 123, any time."))
    tab.page.route("**/analyze", said_by(said))
    page = tab.open()
    analyse(page, "I cannot go on")
    expect(page.locator("#urgent")).to_contain_text("Call 123, any time.")
    expect(page.locator("article h3")).to_contain_text("Mental disorders")
    tab.shot("urgent")


def test_a_stream_that_is_cut(tab: Tab) -> None:
    label = ("label", {"index": 0, "answer": answer()})
    tab.page.route("**/analyze", said_by(sse(label) + "event: result\ndata: {"))
    page = tab.open()
    page.check('input[value="always"]')
    analyse(page, "half")
    expect(page.locator("#error")).to_contain_text("not all")
    expect(page.locator("article .explanation")).to_have_text("No explanation came.")
    tab.page.unroute("**/analyze")
    tab.page.route("**/analyze", said_by(sse(label, result(answer()))))
    page.click("text=Try again")
    expect(page.locator("#status")).to_contain_text("1 question answered")
    expect(page.locator("#error")).to_be_hidden()


def test_an_error_in_the_stream(tab: Tab) -> None:
    error = {"code": "engine_error", "message": "The engine failed.", "request_id": "r-1"}
    tab.page.route("**/analyze", said_by(sse(("error", {"error": error}))))
    page = tab.open()
    analyse(page, "fails")
    expect(page.locator("#error")).to_contain_text("The engine failed.")
    expect(page.locator("#error")).to_contain_text("r-1")


def test_a_slow_engine_can_be_left(tab: Tab) -> None:
    waiting: list[Route] = []
    tab.page.route("**/analyze", lambda route: waiting.append(route))
    page = tab.open()
    analyse(page, "slow")
    expect(page.locator("#status")).to_have_text("Reading the post …")
    expect(page.locator("#go")).to_be_disabled()
    page.click("#cancel")
    expect(page.locator("#status")).to_contain_text("Cancelled")
    expect(page.locator("#cancel")).to_be_hidden()
    assert len(waiting) == 1


def refuse(status: int, message: str, **headers: str) -> Callable[[Route], None]:
    error = {"code": "x", "message": message, "request_id": None}
    return lambda route: route.fulfill(status=status, json={"error": error}, headers=headers)


def test_a_refused_key_is_asked_for_and_sent(tab: Tab) -> None:
    sent: list[str | None] = []

    def guarded(route: Route) -> None:
        sent.append(route.request.headers.get("authorization"))
        if sent[-1] == "Bearer mine":
            route.continue_()
        else:
            refuse(401, "The API key is missing or wrong.")(route)

    tab.page.route("**/tasks", guarded)
    page = tab.open()
    expect(page.locator("#key")).to_be_focused()
    expect(page.locator("#error")).to_contain_text("key is missing")
    tab.shot("error")
    page.fill("#key", "mine")
    page.click("text=Try again")
    expect(page.locator('input[name="task"]')).to_have_count(8)
    assert sent == [None, "Bearer mine"]
    assert "mine" not in page.url
    kept = page.evaluate("() => [localStorage.length, sessionStorage.length, document.cookie]")
    assert kept == [0, 0, ""]
    assert "$MENTALLLAMA_API_KEY" in (page.text_content("#snippet") or "")


def test_it_waits_as_long_as_the_service_says(tab: Tab) -> None:
    tab.page.route("**/analyze", refuse(503, "More work than fits.", **{"retry-after": "2"}))
    page = tab.open()
    analyse(page, "busy")
    button = page.locator("#error button")
    expect(button).to_have_text("Try again in 2 s")
    expect(button).to_be_disabled()
    expect(button).to_be_enabled(timeout=5_000)


def test_the_whole_way_by_keyboard(tab: Tab) -> None:
    tab.page.route("**/analyze", said_by(sse(result(answer()))))
    page = tab.open()
    expect(page.locator('input[name="task"]')).to_have_count(8)
    page.focus("#post")
    page.keyboard.type("by hand")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.id") == "go":
            break
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("1 question answered")


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_barrier(
    browser: Browser, embedded_server: RunningServer, viewport: dict[str, int], scheme: str
) -> None:
    """axe-core finds nothing, before and after an answer, and nothing is wider than the screen."""
    tab = Tab(browser, embedded_server.url, viewport=viewport, color_scheme=scheme, bypass_csp=True)
    many = answer("mental_disorder.swmh", urgent=True, candidate="suicide", abstained=True)
    many["probabilities"] = {"suicide": 0.4, "depression": 0.3} | dict.fromkeys("abc", 0.1)
    quoted = answer(
        explanation='It says "no sleep".',
        evidence=[{"quote": "no sleep", "start": 0, "end": 8}],
        consistency=0.9,
        label_mass=0.2,
    )
    tab.page.route("**/analyze", said_by(sse(result(many, quoted, resources="Call 123."))))
    page = tab.open()
    expect(page.locator('input[name="task"]')).to_have_count(8)
    page.click(".code summary")
    analyse(page, "no sleep " * 30)
    expect(page.locator("article")).to_have_count(2)
    found = Axe().run(page)
    assert not found.violations_count, found.generate_report()
    assert page.evaluate("() => document.documentElement.scrollWidth") <= viewport["width"]
    name = "desk" if viewport is DESK else "phone"
    tab.shot(f"{name}-{scheme}-answers")
    tab.close()
    assert not tab.complaints


def test_the_parts_that_need_no_page(tab: Tab) -> None:
    """Offsets, events and files, whatever stands in them."""
    page = tab.open()

    text = "🙂a🙂b"
    units = page.evaluate(
        "async (text) => (await import('/playground/offsets.js'))"
        ".inUnits(text, [{start: 1, end: 2}, {start: 2, end: 4}])",
        text,
    )
    assert units == [{"start": 2, "end": 3}, {"start": 3, "end": 6}]
    pieces = page.evaluate(
        "async () => (await import('/playground/offsets.js'))"
        ".pieces('abcdef', [{start: 1, end: 4}, {start: 2, end: 6}])"
    )
    assert [(one["text"], one["spans"]) for one in pieces] == [
        ("a", []),
        ("b", [0]),
        ("cd", [0, 1]),
        ("ef", [1]),
    ]
    said = page.evaluate(
        """async () => {
          const {events} = await import('/playground/events.js');
          const bytes = new TextEncoder().encode(
            ': keep-alive\\n\\nevent: a\\ndata: "🙂"\\n\\nevent: b\\ndata: {"x": 1}\\n\\n');
          const found = [];
          for (let size = 1; size < bytes.length; size += 1) {
            const body = new ReadableStream({start(c) {
              for (let i = 0; i < bytes.length; i += size) c.enqueue(bytes.slice(i, i + size));
              c.close(); }});
            const one = [];
            for await (const {event, data} of events(body)) one.push([event, data]);
            found.push(JSON.stringify(one));
          }
          return [...new Set(found)];
        }"""
    )
    assert said == ['[["a","🙂"],["b",{"x":1}]]']
    files = [
        ("a.csv", '\ufefftext;n\r\n"a;""b""";1\r\nc;2'),
        ("a.tsv", "n\tpost\n1\tx y\n"),
        ("a.txt", "one\n\ntwo\r\n"),
        ("a.jsonl", '{"text": "a"}\n{"n": 1}\n'),
        ("a.csv", "a,b\n1,2\n"),
        ("a.csv", 'text\n"a'),
        ("a.jsonl", "{"),
        ("a.doc", "x"),
        ("a.txt", " "),
    ]
    posts = page.evaluate(
        """async (files) => {
          const {postsOf} = await import('/playground/posts.js');
          return files.map(([name, text]) => {
            try { return postsOf(name, text).posts; } catch (e) { return e.message; }
          });
        }""",
        files,
    )
    assert posts[:4] == [['a;"b"', "c"], ["x y"], ["one", "two"], ["a", ""]]
    assert [one.split()[0] for one in posts[4:]] == ["No", "A", "Line", "This", "There"]
