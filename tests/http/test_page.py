"""The page at /, in a real browser without a window."""
import os
import re
import shutil
import signal
import subprocess

import pytest
from playwright.sync_api import expect, sync_playwright

from conftest import BINARY, PATIENCE

BROWSER = shutil.which("chromium-headless-shell") or shutil.which("chromium")
if not BROWSER:
    assert not os.environ.get("CI"), "there is no chromium: ./run test installs chromium-headless-shell"
    pytest.skip("there is no chromium", allow_module_level=True)

expect.set_options(timeout=PATIENCE * 1000)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Opens the page of a server in a browser that knows nothing yet. It may ask nobody else, and no script may fail."""
    contexts, strangers, failures = [], [], []

    def open_it(server, asks_for_key=False, **options):
        context = browser.new_context(**options)
        context.set_default_timeout(PATIENCE * 1000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.on("console", lambda message: "Content Security Policy" in message.text and failures.append(message.text))
        page.on("request", lambda request: request.url.startswith((server.url, "data:")) or strangers.append(request.url))
        page.goto(server.url)
        if not asks_for_key:
            expect(page.locator("#model option")).to_have_count(1)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert (strangers, failures) == ([], [])


def choose(page, mode, **settings):
    page.get_by_role("radio", name=mode).check()
    if not page.locator("#settings").is_visible():
        page.get_by_role("button", name="Settings", exact=True).click()
    for name, value in settings.items():
        page.locator("#" + name.replace("_", "-")).fill(str(value))


def send(page, text):
    page.locator("#entry").fill(text)
    page.keyboard.press("Enter")


def answer_of(page):
    """The last answer, once it is complete."""
    expect(page.locator("#thread")).to_have_attribute("aria-busy", "false")
    return page.locator(".turn:not(.mine)").last


def halt_amid_answer(page, server):
    """Sends texts until the server could be halted while it answered one."""
    for _ in range(20):
        send(page, "Once")
        expect(page.locator(".turn").last.locator(".text > span").last).not_to_be_empty()
        server.process.send_signal(signal.SIGSTOP)
        if page.locator("#stop").is_visible() and page.locator(".turn.busy").count():
            return
        server.process.send_signal(signal.SIGCONT)
        answer_of(page)
    raise AssertionError("answers end too fast")


def test_the_page_is_for_browsers_that_run_nothing_else(demo):
    status, headers, text = demo.request("GET", "/")
    assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
    policy = headers["Content-Security-Policy"]
    nonce = re.search(r"script-src 'nonce-([0-9a-f]{32})';", policy).group(1)
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert text.count(f'nonce="{nonce}"') == 2 and "{nonce}" not in text
    assert not re.search(r"\son[a-z]+=|\sstyle=|innerHTML|https?://(?!www\.w3\.org/2000/svg)", text)
    assert nonce not in demo.request("GET", "/")[1]["Content-Security-Policy"]
    assert demo.request("POST", "/", {})[0] == 405
    assert demo.request("GET", "/nothing")[0] == 404


def test_a_text_is_continued_as_the_api_does(demo, open_page):
    page = open_page(demo)
    choose(page, "Completion", temperature=0, max_tokens=30)
    send(page, "Once upon a time")
    wanted = demo.complete(prompt="Once upon a time", temperature=0, max_tokens=30)["choices"][0]["text"]
    expect(answer_of(page).locator(".text")).to_have_text("Once upon a time" + wanted)
    expect(answer_of(page).locator(".figures")).to_have_text(re.compile(r"^30 tokens · [\d.]+ tokens/s · first after .*cut off"))
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("#entry")).to_have_value("Once upon a time" + wanted)


def test_a_conversation_goes_on(demo, open_page):
    page = open_page(demo)
    choose(page, "Chat", temperature=0, max_tokens=40, system="You tell tales.")
    send(page, "What is the capital of France?")
    answer_of(page)
    send(page, "And of Spain?")
    said = answer_of(page).locator(".text").text_content()
    turns = page.locator(".turn .text").all_text_contents()
    assert len(turns) == 4 and turns[0] == "What is the capital of France?" and turns[2] == "And of Spain?"
    messages = [{"role": "system", "content": "You tell tales."}, {"role": "user", "content": turns[0]},
                {"role": "assistant", "content": turns[1]}, {"role": "user", "content": turns[2]}]
    body = {"messages": messages, "temperature": 0, "top_p": .95, "max_tokens": 40}
    choice = demo.request("POST", "/v1/chat/completions", body)[2]["choices"][0]
    assert said == choice["message"]["content"]
    page.get_by_role("button", name="Again").click()
    expect(answer_of(page).locator(".text")).to_have_text(said)
    assert page.locator(".turn").count() == 4


def test_a_model_without_a_chat_template_continues_texts(start_server, open_page, tmp_path):
    models = os.path.join(os.path.dirname(__file__), "..", "models")
    folder = shutil.copytree(os.path.join(models, "gemma3-int4"), tmp_path / "plain", ignore=shutil.ignore_patterns("chat_template.jinja"))
    page = open_page(start_server("--no-cache", model=str(folder)))
    expect(page.get_by_role("radio", name="Completion")).to_be_checked()
    expect(page.get_by_role("radio", name="Chat")).to_be_disabled()
    expect(page.locator("#hint")).to_have_text(re.compile("^plain cannot chat: .*no chat template.*It continues texts"))


def test_an_answer_is_stopped(demo, open_page):
    page = open_page(demo)
    choose(page, "Completion", temperature=2, top_p=1, max_tokens=100000)
    halt_amid_answer(page, demo)
    try:
        page.get_by_role("button", name="Stop").click()
        expect(answer_of(page).locator(".figures")).to_have_text(re.compile("stopped$"))
        expect(page.get_by_role("button", name="Send")).to_be_visible()
    finally:
        demo.process.send_signal(signal.SIGCONT)
    demo.wait_idle()


def test_a_server_that_goes_away_is_an_error_that_is_shown(start_server, open_page):
    server = start_server()
    page = open_page(server)
    choose(page, "Completion", temperature=2, top_p=1, max_tokens=100000)
    halt_amid_answer(page, server)
    server.process.kill()
    server.process.wait()
    expect(answer_of(page).get_by_role("alert")).to_have_text(re.compile("the server went away|went away in the middle"))
    send(page, "once more")
    expect(answer_of(page).get_by_role("alert")).to_have_text("The server does not answer. Is it running?")
    server.process.returncode = 0  # it was meant to end


def test_a_key_is_asked_for_where_the_server_wants_one(start_server, open_page, tmp_path):
    key = subprocess.run([BINARY, "key", "alice", tmp_path / "keys"], check=True, capture_output=True, text=True).stdout.strip()
    page = open_page(start_server("--api-keys", tmp_path / "keys"), asks_for_key=True)
    expect(page.get_by_label("API key")).to_be_focused()
    page.keyboard.type(key)
    page.keyboard.press("Enter")
    expect(page.locator("#model option")).to_have_count(1)
    choose(page, "Completion", max_tokens=3)
    send(page, "Once")
    expect(answer_of(page).locator(".figures")).to_have_text(re.compile("^3 tokens"))
    page.reload()
    expect(page.locator("#model option")).to_have_count(1)


def test_conversation_and_settings_survive_a_reload(demo, open_page):
    page = open_page(demo)
    choose(page, "Completion", temperature=0, max_tokens=5, seed=7)
    send(page, "<b>Once</b>")
    said = answer_of(page).locator(".text").text_content()
    page.reload()
    expect(answer_of(page).locator(".text")).to_have_text(said)
    expect(page.locator("#seed")).to_have_value("7")
    page.get_by_role("button", name="New conversation").click()
    page.reload()
    expect(page.locator(".turn")).to_have_count(0)


def test_markup_of_a_model_is_text(demo, open_page):
    page = open_page(demo)
    text = "<img src=x onerror=alert(1)><script>alert(2)</script> **<i>bold</i>** `<u>code</u>`\n```html\n<s>fenced</s>\n```"
    turns = [{"mode": "chat", "role": "user", "text": text}, {"mode": "chat", "role": "assistant", "text": text, "model": text}]
    page.evaluate("turns => sessionStorage.setItem('quern.turns', JSON.stringify(turns))", turns)
    page.reload()
    expect(page.locator(".turn")).to_have_count(2)
    assert page.locator(".turn").locator("img, script, i, u, s").count() == 0
    expect(page.locator(".turn strong")).to_have_text("<i>bold</i>")
    expect(page.locator(".turn pre")).to_have_text("<s>fenced</s>")


def test_probabilities_are_those_of_the_api(demo, open_page):
    page = open_page(demo)
    choose(page, "Completion", temperature=0, max_tokens=8)
    page.get_by_label("Token probabilities").check()
    send(page, "Once upon a")
    choice = demo.complete(prompt="Once upon a", temperature=0, max_tokens=8, logprobs=5)["choices"][0]
    tokens = answer_of(page).locator(".tokens > span")
    expect(tokens).to_have_text(choice["logprobs"]["tokens"])
    tokens.nth(1).hover()
    rows = page.get_by_role("tooltip").locator(".share").all_text_contents()
    wanted = sorted((2.718281828 ** value * 100 for value in choice["logprobs"]["top_logprobs"][1].values()), reverse=True)
    assert [float(row.split()[0]) for row in rows] == pytest.approx(wanted, abs=0.06)
    page.locator(".tokens").focus()
    page.keyboard.press("ArrowRight")
    expect(tokens.nth(2)).to_have_class(re.compile("chosen"))
    page.keyboard.press("Escape")
    expect(page.get_by_role("tooltip")).to_be_hidden()


def test_the_keyboard_is_enough(demo, open_page):
    page = open_page(demo, viewport={"width": 900, "height": 700})
    expect(page.locator("#entry")).to_be_focused()
    page.keyboard.press("Shift+Tab")  # model, new, settings come before
    for _ in range(8):
        if page.evaluate("document.activeElement.id") == "settings-button":
            break
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#settings")).to_be_visible()
    page.locator("#max-tokens").focus()
    page.keyboard.press("Escape")
    expect(page.locator("#settings")).to_be_hidden()
    expect(page.locator("#settings-button")).to_be_focused()
    nameless = page.evaluate("""[...document.querySelectorAll("button, input, select, textarea")].filter(each =>
        !(each.ariaLabel || each.textContent.trim() || each.labels?.length)).map(each => each.id)""")
    assert nameless == []


def test_a_phone_has_room_for_it(demo, open_page):
    page = open_page(demo, viewport={"width": 390, "height": 780}, is_mobile=True, has_touch=True)
    choose(page, "Completion", temperature=0, max_tokens=20)
    page.get_by_role("button", name="Close settings").click()
    page.locator("#entry").fill("Once upon a " + "very" * 60)
    page.get_by_role("button", name="Send").click()
    answer_of(page)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    for control in page.locator("header button, header select, #send").all():
        box = control.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390, box
