"""The command line around Hydra: --help, one line for what went wrong, exit codes 0, 1, 2, 130, 143."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence

from bench.errors import UserError
from bench.run.job import Job

_problems: list[Exception] = []


def run(hydra_main: Callable[[], None], after_sweep: Callable[[Sequence[Job]], None]) -> int:
    """Run the program; returns its exit code.

    Args:
        after_sweep: told the jobs of a multirun when all have ended, unless it is silent.
    """
    arguments = sys.argv[1:]
    if {"-h", "--help"} & set(arguments):
        from bench.run.help import help_text

        try:
            print(help_text(), flush=True)
        except (
            BrokenPipeError
        ):  # `| head`: what is still buffered goes nowhere, instead of failing when the interpreter ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    os.environ["CLAIMBENCH_MAIN"] = str(os.getpid())
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions reach us instead of being printed as tracebacks
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from bench.run.atomic import DISK_FULL, cannot_write
    from bench.run.explain import user_error
    from bench.run.multirun import under_way
    from bench.run.resolvers import register_resolvers
    from bench.run.runner import RunsFailed

    register_resolvers()
    with under_way() as jobs:
        try:
            hydra_main()
        except (HydraException, OmegaConfBaseException) as error:
            _problems.append(user_error(error, arguments))
        except KeyboardInterrupt:  # outside a run, or while a launcher's workers write their checkpoints
            print("stopped; run the same command again to go on", file=sys.stderr)
            return 130
        except OSError as error:  # what happens inside a run is caught there
            line = cannot_write(error, "what was asked for")
            _problems.append(RunsFailed(line) if error.errno in DISK_FULL else UserError(f"results_root: {line}"))
        except (UserError, RunsFailed) as error:  # from a worker process
            _problems.append(error)
        if jobs and jobs[0].settings.verbose:
            after_sweep(jobs)
    for problem in _problems:
        print(f"error: {problem}" if isinstance(problem, UserError) else f"failed: {problem}", file=sys.stderr)
    if not _problems:
        return 0
    return 1 if any(isinstance(problem, RunsFailed) for problem in _problems) else 2


def guarded(work: Callable[[], object]) -> None:
    """Run one job of a sweep. What goes wrong is kept for the end, so that Hydra goes on to the next job.

    In a launcher's worker process the exception is raised instead: it is the launcher's way to tell the parent.
    """
    from bench.run.runner import RunsFailed

    try:
        work()
    except (UserError, RunsFailed) as error:
        if os.environ.get("CLAIMBENCH_MAIN") != str(os.getpid()):
            raise
        _problems.append(error)


def one_line(program: Callable[[], int]) -> Callable[[], int]:
    """For the scripts beside run.py: bad input ends with one line and exit code 2."""

    @functools.wraps(program)
    def guarded_program() -> int:
        from hydra.errors import HydraException
        from omegaconf.errors import OmegaConfBaseException

        from bench.run.explain import user_error

        try:
            return program()
        except (UserError, HydraException, OmegaConfBaseException) as error:
            line = str(user_error(error, sys.argv[1:]))
        except OSError as error:
            line = f"{error.filename}: {error.strerror}"
        print(f"error: {line}", file=sys.stderr)
        return 2

    return guarded_program
