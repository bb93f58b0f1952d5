"""What `hardware=ray` runs beside a sweep: hands its jobs to Ray, and says in a JSON line on stdout how each of them ended.

The jobs come as a JSON line on stdin. SIGTERM, or the end of stdin, stops them: each writes its checkpoint first.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
from typing import Any

SET_PDEATHSIG = 1  # of prctl(2)
POLL = 0.5  # seconds between looks for the file that stops the jobs
STOPPED = 143


def run(line: list[str], environment: dict[str, str], folder: str, stop: str) -> tuple[int, str]:
    """In a worker of Ray: a job's process; its exit code and what it printed. Once there is a file `stop` the job is stopped at a checkpoint."""
    asked = False
    if os.path.exists(stop):
        return STOPPED, ""

    def end_with_worker() -> None:
        """A job whose worker is killed is stopped too (Linux; elsewhere it goes on to its end)."""
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(SET_PDEATHSIG, signal.SIGTERM)

    process = subprocess.Popen(
        [sys.executable, *line],
        env=os.environ | environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=end_with_worker,
    )
    while True:
        try:
            output, _ = process.communicate(timeout=POLL)
            return process.returncode, output
        except subprocess.TimeoutExpired:
            if not asked and os.path.exists(stop):
                asked = True
                process.send_signal(signal.SIGTERM)


def say(**what: Any) -> None:
    """A line for the sweep."""
    print(json.dumps(what), flush=True)


def connected(named: str, address: str | None) -> Any:
    """Ray, connected or started; None, with a line that begins with `named`, where it is not to be had."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")  # a job without a GPU sees none
    os.environ.setdefault("RAY_worker_niceness", "0")  # jobs run as those of any other launcher
    try:
        import ray
    except ModuleNotFoundError:
        return say(refused=f"{named}: needs the extra ray: pip install '.[ray]'")
    try:
        ray.init(address=address or "local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        return say(refused=f"hydra.launcher.address = '{address}': {str(error).splitlines()[0]}")
    return ray


def holds(ray: Any, wanted: dict[str, int]) -> bool:
    """Some machine of the cluster must hold one job, or it would wait for ever."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(all(node.get(kind, 0) >= count for kind, count in wanted.items()) for node in machines):
        return True
    asked = " and ".join(f"{count} {kind}" for kind, count in wanted.items() if count)
    say(refused=f"hydra.launcher: a job asks for {asked}, and no machine of this Ray has that many")
    return False


def work(ray: Any, told: dict[str, Any]) -> None:
    """At most `parallel` jobs at a time, each until it ends; those under way are stopped when this is."""
    job = ray.remote(num_cpus=told["cpus"], num_gpus=told["gpus"], max_retries=0)(run)
    waiting, running = list(told["jobs"]), {}
    try:
        while waiting or running:
            while waiting and len(running) < (told["parallel"] or len(told["jobs"])):
                command = waiting.pop(0)
                call = job.remote(command["line"], command["environment"], command["folder"], told["stop"])
                running[call] = command["number"]
            (ended, *_), _ = ray.wait(list(running))
            number = running.pop(ended)
            try:
                code, output = ray.get(ended)
                say(number=number, code=code, output=output)
            except ray.exceptions.RayError:  # the worker or its machine died
                say(number=number, code=None)
    finally:
        if running:
            with open(told["stop"], "w"):
                ray.wait(list(running), num_returns=len(running))
            os.unlink(told["stop"])


def stop(*_: object) -> None:
    """Once; Ray swallows what else is raised while it waits."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def watch() -> None:
    """The sweep's process holds stdin open while it lives."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    """The program; returns its exit code."""
    told = json.loads(sys.stdin.readline())
    ray = connected(told["named"], told["address"])
    if ray is None:
        return 0
    try:
        signal.signal(signal.SIGTERM, stop)  # in place of Ray's handler, which aborts
        threading.Thread(target=watch, daemon=True).start()
        if holds(ray, {"CPU": told["cpus"], "GPU": told["gpus"]}):
            work(ray, told)
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        ray.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
