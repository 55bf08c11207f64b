"""Run a command as a cold process and watch it: wall time, CPU time and memory of it and of all that it starts."""

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["Watched", "watch"]

# Looking through all processes costs 5 ms.
_INTERVAL = 0.25
_MIB = 2**20


@dataclass(frozen=True)
class Watched:
    """`begun` and `ended`: seconds since the epoch. `cpu`: user + system seconds. `peak_mib`: sum of resident sets."""

    begun: float
    ended: float
    cpu: float
    peak_mib: float

    @property
    def seconds(self) -> float:
        """From start to exit."""
        return self.ended - self.begun


def watch(command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path) -> Watched:
    """Run to the end; raises RuntimeError with the end of its output if it fails."""
    over, peaks = threading.Event(), [0.0]
    with log.open("w") as output:
        begun = time.time()
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        sampler = threading.Thread(target=_sample, args=(process.pid, over, peaks))
        sampler.start()
        # wait4 tells the CPU time of the process and of all children that it waited for.
        _, status, usage = os.wait4(process.pid, 0)
        ended = time.time()
    over.set()
    sampler.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{log.read_text()[-4000:]}")
    return Watched(begun, ended, usage.ru_utime + usage.ru_stime, peaks[0])


def _sample(pid: int, over: threading.Event, peaks: list[float]) -> None:
    while not over.wait(_INTERVAL):
        peaks[0] = max(peaks[0], _resident(pid) / _MIB)


def _resident(pid: int) -> int:
    """Shared pages count once for each process that maps them: the same for all contenders, and rather too much."""
    total = 0
    try:
        tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in tree:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total
