"""The command line around Hydra: --help, one line for what went wrong, exit codes 0, 1, 2, 130, 143."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import traceback
from collections.abc import Callable, Sequence

from bench.errors import UserError, in_one_line
from bench.run import world
from bench.run.crash import FULL, show_traceback
from bench.run.job import Job

_problems: list[Exception] = []


def run(hydra_main: Callable[[], None], after_sweep: Callable[[Sequence[Job]], None]) -> int:
    """Run the program; returns its exit code.

    Args:
        after_sweep: told the jobs of a multirun when all have ended, unless it is silent.
    """
    _open_closed_streams()
    if {"-h", "--help"} & set(sys.argv[1:]):
        return _help()
    _problems.clear()  # of another command line of this process
    os.environ["CLAIMBENCH_MAIN"] = str(os.getpid())
    if world.size() > 1:  # a lost process is told in a line of ours; torch reads this as it is imported
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if os.environ.get("HYDRA_FULL_ERROR", "0") not in ("", "0"):
        os.environ[FULL] = "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions reach us instead of being printed as tracebacks
    from bench.run.multirun import under_way

    with under_way() as jobs:
        code = _composed(hydra_main)
        if code is not None:
            return code
        if jobs and jobs[0].settings.verbose and world.rank() == 0:
            after_sweep(jobs)
    return _end()


def _end() -> int:
    """Say what went wrong; the exit code."""
    from bench.run.runner import RunsFailed

    if not _problems:
        return 0
    code = 1 if any(isinstance(problem, RunsFailed) for problem in _problems) else 2
    world.stand_back(code)
    for problem in _problems:
        kind = "error" if isinstance(problem, UserError) else "failed"
        print(f"{kind}: {world.signed(in_one_line(problem))}", file=sys.stderr)
    return code


def _open_closed_streams() -> None:
    """What was closed when the program started (`>&-`) reads and writes nothing; else the next pipe or file would get its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            with contextlib.suppress(OSError):
                os.close(number)
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115


def _help() -> int:
    from bench.run.help import help_text

    try:
        print(help_text(), flush=True)
    except (
        BrokenPipeError
    ):  # `| head`: what is still buffered goes nowhere, instead of failing when the interpreter ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _composed(hydra_main: Callable[[], None]) -> int | None:
    """Run what the command line says; problems are kept. An exit code where the program ends at once."""
    from hydra.errors import HydraException

    from bench.run.arguments import checked
    from bench.run.confguard import guard_hydra
    from bench.run.explain import user_error
    from bench.run.resolvers import register_resolvers
    from bench.run.runner import RunsFailed
    from bench.run.stopping import WorkerLost

    register_resolvers()
    guard_hydra()
    try:
        sys.argv[1:] = checked(sys.argv[1:])
        hydra_main()
    except KeyboardInterrupt:  # outside a run, or while a launcher's workers write their checkpoints
        if world.rank() == 0:
            print("stopped; run the same command again to go on", file=sys.stderr)
        return 130
    except WorkerLost:  # which has been said
        return 1
    except SystemExit as stop:
        if stop.code == 1:  # Hydra has said in a line what it cannot show
            return 2
        raise
    except (UserError, RunsFailed) as error:  # from a worker process
        _problems.append(error)
    except Exception as error:
        show_traceback(error)
        if isinstance(error, OSError) and not isinstance(error, HydraException):  # those inside a run are caught there
            _problems.append(_unwritable(error))
        elif _inside_a_run(error):
            raise
        else:
            _problems.append(user_error(error, sys.argv[1:]))
    return None


def _inside_a_run(error: Exception) -> bool:
    """Was the config whole before it was raised? Then it is a fault of the program."""
    return any(frame.name == "execute" for frame in traceback.extract_tb(error.__traceback__))


def guarded(work: Callable[[], object]) -> None:
    """Run one job of a sweep. What goes wrong is kept for the end, so that Hydra goes on to the next job.

    In a launcher's worker process the exception is raised instead: it is the launcher's way to tell the parent.
    """
    from bench.run.runner import RunsFailed

    try:
        work()
    except (UserError, RunsFailed, OSError) as error:
        if os.environ.get("CLAIMBENCH_MAIN") != str(os.getpid()):
            raise
        _problems.append(_unwritable(error) if isinstance(error, OSError) else error)


def _unwritable(error: OSError) -> Exception:
    """What keeps results from being written; a full disk is no bad input."""
    from bench.run.atomic import DISK_FULL, cannot_write
    from bench.run.runner import RunsFailed

    line = cannot_write(error, "what was asked for")
    return RunsFailed(line) if error.errno in DISK_FULL else UserError(f"results_root: {line}")


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
        print(f"error: {in_one_line(line)}", file=sys.stderr)
        return 2

    return guarded_program
