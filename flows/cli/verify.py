"""What `spillover verify` shows: every check of a run, and what to do where one fails."""

import shlex

from flows.console import console
from flows.verification import verify
from tasks.runs import Run


def show_checks(run: Run) -> bool:
    """Prints every check; whether all of them hold."""
    checks = verify(run)
    for check in checks:
        console.print(f"{'✗' if check.fault else '✓'} {check.claim}{': ' if check.fault else ''}{check.fault}")
    wrong = sum(bool(check.fault) for check in checks)
    if wrong:
        remedy = f"If the rows are right, `spillover report {shlex.quote(str(run.folder))}` makes the rest anew."
        console.print(f"\n{wrong} of {len(checks)} checks fail{'s' * (wrong == 1)}. {remedy}")
    else:
        console.print(f"\nAll {len(checks)} checks hold: the report follows from the run's rows.")
    return not wrong
