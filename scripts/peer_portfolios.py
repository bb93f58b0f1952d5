"""Runs in the virtual environment of universal-portfolios (`make bench-portfolios`): for each name on standard input, seconds and final wealth."""

import sys
import time

from universal import algos, tools

STRATEGIES = {
    "EG": lambda: algos.EG(eta=0.05),
    "PAMR": lambda: algos.PAMR(eps=0.5, C=500, variant=0),
    "OLMAR-1": lambda: algos.OLMAR(window=5, eps=10),
}
prices = tools.dataset("nyse_o")
for line in sys.stdin:
    start = time.perf_counter()
    result = STRATEGIES[line.strip()]().run(prices)
    print(time.perf_counter() - start, result.total_wealth, flush=True)
