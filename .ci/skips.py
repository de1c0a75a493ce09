"""Prints every skipped test with its reason, and fails on a reason that is not in .ci/skips.txt."""

import sys
from pathlib import Path
from xml.etree import ElementTree


def skipped(report: str) -> list[tuple[str, str]]:
    """Name and reason of each skipped test of a JUnit report."""
    cases = ElementTree.parse(report).iter("testcase")
    return [(case.get("name", ""), skip.get("message", "")) for case in cases for skip in case.iter("skipped")]


def main() -> None:
    """Exit status 1 where a test was skipped for a reason that is not listed."""
    lines = Path(__file__).with_name("skips.txt").read_text().splitlines()
    allowed = {line for line in lines if line and not line.startswith("#")}
    skips = [skip for report in sys.argv[1:] for skip in skipped(report)]
    for name, reason in skips:
        print(f"skipped: {name}: {reason}{'' if reason in allowed else '  NOT IN .ci/skips.txt'}")
    unknown = sum(reason not in allowed for _, reason in skips)
    print(f"{len(skips)} skipped, {unknown} of them without a committed reason")
    sys.exit(1 if unknown else 0)


if __name__ == "__main__":
    main()
