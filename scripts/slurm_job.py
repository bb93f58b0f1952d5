"""What a task of a SLURM array runs (`hardware=slurm` submits it): one job of a sweep, queued again where it was stopped at a checkpoint.

SLURM stops a task in two ways. Preempted, requeued or cancelled, every process of it gets SIGTERM: the job writes its checkpoint, and this
program waits for it. Near the time limit this program alone gets SIGUSR1, and asks the job. A job that was stopped while SLURM still has the
task running, near its limit or in the grace of a preemption, is queued again here; else SLURM does what it was about to.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

STOPPED = 143  # a job's exit code after SIGTERM and a checkpoint


def main(folder: Path, number: str) -> int:
    """Run the job; its exit code is written to <number>.code, unless it was stopped and goes on later."""
    told = json.loads((folder / f"{number}.json").read_text(encoding="utf-8"))
    signal.signal(signal.SIGTERM, lambda *_: None)  # of ours alone: what is ignored would be ignored by the job too
    job = subprocess.Popen(told["command"], env=os.environ | told["environment"], cwd=told["folder"])
    signal.signal(signal.SIGUSR1, lambda *_: job.send_signal(signal.SIGTERM))
    code = job.wait()
    if code == STOPPED and restarted() < told["restarts"]:
        queue_again()
        return code
    write(folder / f"{number}.code", f"{code}\n")
    return code if code >= 0 else 128 - code


def restarted() -> int:
    """How often SLURM has started this task again."""
    return int(os.environ.get("SLURM_RESTART_COUNT", 0))


def queue_again() -> None:
    """If SLURM has this task running: one that it is requeuing or cancelling is its own affair."""
    own = os.environ["SLURM_JOB_ID"]
    asked = subprocess.run(["squeue", "-h", "-o", "%T", "-j", own], capture_output=True, text=True, check=False)
    if asked.returncode != 0 or asked.stdout.strip() == "RUNNING":
        subprocess.run(["scontrol", "requeue", own], check=False)


def write(path: Path, text: str) -> None:
    """All of it or nothing."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    os.replace(temporary, path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), os.environ["SLURM_ARRAY_TASK_ID"]))
