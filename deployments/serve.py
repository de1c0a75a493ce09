"""The same as `spillover serve`, from Python, with the same options.

uv run python deployments/serve.py --at-once 4
"""

import sys

from flows.__main__ import main

if __name__ == "__main__":
    sys.argv = ["spillover", "serve", *sys.argv[1:]]
    main()
