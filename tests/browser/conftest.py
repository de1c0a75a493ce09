"""Debian's Chromium (tests/install_packages.sh), one for all tests of a module."""

import shutil

import pytest
from playwright.sync_api import sync_playwright


@pytest.fixture(scope="module")
def browser():
    assert shutil.which("chromium"), "run tests/install_packages.sh first"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()
