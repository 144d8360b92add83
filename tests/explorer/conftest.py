"""V8 and a browser for the page, or a skip that says what is missing."""

import pytest

from tests.explorer import browsing, javascript

WITHOUT_V8 = "mini-racer, which carries the JavaScript engine V8, is not installed"
WITHOUT_BROWSER = "no Chromium or Chrome, or no Playwright, is installed"


def pytest_terminal_summary(terminalreporter):
    skipped = [report.longrepr[2] for report in terminalreporter.stats.get("skipped", [])]
    for missing in (WITHOUT_V8, WITHOUT_BROWSER):
        count = sum(missing in reason for reason in skipped)
        if count:
            line = f"{count} tests of the explorer's page were skipped: {missing}"
            terminalreporter.write_line(line, yellow=True, bold=True)


@pytest.fixture(scope="session")
def v8():
    """V8 with the numeric part of the page."""
    try:
        engine = javascript.started()
    except ImportError:
        pytest.skip(WITHOUT_V8)
    with engine:  # closed at the end: V8 may otherwise keep the process from ending
        yield engine


@pytest.fixture(scope="module")  # not longer: its event loop would be in the way of other tests
def browser():
    """A headless Chromium."""
    try:
        with browsing.chromium() as browser:
            yield browser
    except browsing.NoBrowserError:
        pytest.skip(WITHOUT_BROWSER)
