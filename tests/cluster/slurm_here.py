"""A SLURM of a test's own on this machine: munge, one controller and several nodes that are slurmd processes, all in one folder.

Debian's packages are enough (apt-get install slurm-wlm munge); it needs root, as SLURM starts jobs for other users.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "sinfo")
CONFIG = """
ClusterName=claimbench
SlurmctldHost={host}
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdSpoolDir={folder}/spool-%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,batch_sched_delay=1
ReturnToService=2
MpiDefault=none
KillWait=20
MinJobAge=300
InactiveLimit=0
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str | None:
    """Why SLURM cannot be started here; None where it can."""
    if os.geteuid() != 0:
        return "starting SLURM needs root"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"{', '.join(missing)}: not installed (apt-get install slurm-wlm munge)" if missing else None


def free_ports(count: int) -> list[int]:
    """TCP ports that nobody listens at."""
    with contextlib.ExitStack() as opened:
        found = [opened.enter_context(socket.socket()) for _ in range(count)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in found]


class Slurm:
    """The cluster that runs. `env` is what its commands need in their environment."""

    def __init__(self, folder: Path, nodes: int) -> None:
        self.folder, self.nodes = folder, [f"n{k}" for k in range(1, nodes + 1)]
        self.env = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Write the configuration and start every process; raises RuntimeError where the nodes do not come up."""
        folder, host, ports = self.folder, socket.gethostname().split(".")[0], free_ports(len(self.nodes) + 1)
        (folder / "state").mkdir(parents=True)
        nodes = "\n".join(
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=1 RealMemory=1000 State=UNKNOWN"
            for name, port in zip(self.nodes, ports[1:])
        )
        (folder / "slurm.conf").write_text(
            CONFIG.format(host=f"{host}(127.0.0.1)", port=ports[0], folder=folder, nodes=nodes)
        )
        key = folder / "munge.key"
        key.write_bytes(os.urandom(64))
        key.chmod(0o400)
        folder.chmod(0o755)
        own = [f"--{kind}-file={folder}/munge.{kind}" for kind in ("key", "pid", "log", "seed")]
        self._run("munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *own)
        self._until(lambda: (folder / "munge.socket").exists(), "munged")
        self._run("slurmctld", "-D", "-c")
        for name in self.nodes:
            (folder / f"spool-{name}").mkdir()
            self._run("slurmd", "-D", "-N", name)
        self._until(lambda: self("sinfo", "-h", "-N", "-o", "%T").split() == ["idle"] * len(self.nodes), "the nodes")

    def __call__(self, *command: str) -> str:
        """What a command of SLURM prints."""
        return subprocess.run(command, env=self.env, capture_output=True, text=True, check=False).stdout

    def _run(self, *command: str) -> None:
        with open(self.folder / f"{command[0]}.out", "ab") as out:
            self._started.append(
                subprocess.Popen(command, env=self.env, stdout=out, stderr=out, start_new_session=True)
            )

    def _until(self, there, what: str, seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while not there():
            if time.monotonic() > end or any(process.poll() is not None for process in self._started):
                raise RuntimeError(f"{what} did not start; see the logs in {self.folder}")
            time.sleep(0.2)

    def stop(self) -> None:
        """End what was started."""
        with contextlib.suppress(OSError):
            self("scancel", "--full", "-u", "root")
        for process in reversed(self._started):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def slurm(folder: Path, nodes: int = 2) -> Iterator[Slurm]:
    """A cluster of `nodes` nodes with one core each.

    Raises:
        RuntimeError: it does not start.
    """
    cluster = Slurm(folder, nodes)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
