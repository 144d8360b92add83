"""V8 and a browser for the page, or a skip that says what is missing."""

import pytest

from tests.conftest import WITHOUT_BROWSER, WITHOUT_V8
from tests.explorer import browsing, javascript


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
