"""A headless Chromium, and visits to pages of the explorer in it."""

import contextlib
import shutil

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# Offline, and with a profile of its own: Playwright starts it in a new, empty one.
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


class NoBrowserError(Exception):
    """There is no browser, or nothing to drive it with."""


@contextlib.contextmanager
def chromium():
    """A headless Chromium, or NoBrowserError."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        raise NoBrowserError
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise NoBrowserError from None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS.split())
        yield browser
        browser.close()


# Resolves when the page has read the new address.
FOLLOW = """(link) => new Promise((done) => {
  if (location.hash === `#${link}`) return done();
  addEventListener("hashchange", done, { once: true });
  location.hash = link;
})"""
UNTIL = """new Promise((done) => {
  const look = () => (CONDITION ? done() : setTimeout(look, 20));
  look();
})"""


MOVE = """(step) => {
  byId("slider").value = step;
  byId("slider").dispatchEvent(new Event("input"));
}"""


class Visit:
    """One open page, with what went wrong on it."""

    def __init__(self, context, path, link=""):
        self.page, self.problems = context.new_page(), []
        self.page.on("console", lambda message: self.problems.append(message.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self.problems.append(request.url))
        self.address = path.as_uri()
        self.page.goto(self.address + link)
        assert self.problems.pop(0) == self.address  # the one file, and nothing else
        self.frame()

    def frame(self):
        """Wait until everything is drawn again."""
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")

    def go(self, link):
        """Follow a link to another place of the page."""
        self.page.evaluate(FOLLOW, link)
        self.frame()

    def until(self, condition):
        """Wait for a condition; `wait_for_function` needs eval, which the page forbids."""
        self.page.evaluate(UNTIL.replace("CONDITION", condition))

    def click(self, selector):
        self.page.click(selector)
        self.frame()

    def text(self, selector):
        return self.page.inner_text(selector).strip()

    def number(self, selector):
        """The exact number that a text stands for."""
        return float(self.page.get_attribute(selector, "data-value"))

    def numbers(self, selector):
        values = "(all) => all.map((each) => Number(each.dataset.value ?? 0))"
        return self.page.eval_on_selector_all(selector, values)

    def click_map(self, selector, share=(0.5, 0.5)):
        """Click on a canvas, at these shares of its width and height."""
        self.page.locator(selector).scroll_into_view_if_needed()
        box = self.page.locator(selector).bounding_box()
        x, y = (box[side] * at for side, at in zip(("width", "height"), share, strict=True))
        self.page.mouse.click(box["x"] + x, box["y"] + y)
        self.frame()

    def stroke(self, points):
        """Draw a line on the pad, through points given as shares of its size."""
        self.page.locator("#pad").scroll_into_view_if_needed()
        box = self.page.locator("#pad").bounding_box()
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*place, steps=2)
        self.page.mouse.up()
        self.frame()
        self.frame()
