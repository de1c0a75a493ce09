"""For how long a page is waited for: a machine that is slow is no fault of the page."""

from playwright.sync_api import expect

expect.set_options(timeout=120_000)
