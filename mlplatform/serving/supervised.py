"""A worker of `bentoml serve` ends with the process that started it.

Alone it would answer on, keep the port, and be seen and started again by nobody: a supervisor that was killed (SIGKILL,
out of memory) cannot end its workers itself.
"""

import asyncio
import logging
import os
import signal

__all__ = ["end_with_supervisor"]

logger = logging.getLogger(__name__)

EVERY_SECONDS = 1.0


async def end_with_supervisor(supervisor: int) -> None:
    """Ask this process to end, in order, once `supervisor` (a process id) is not its parent any more."""
    while os.getppid() == supervisor:
        await asyncio.sleep(EVERY_SECONDS)
    logger.error("The supervisor of this worker (process %s) is gone; the worker ends", supervisor)
    os.kill(os.getpid(), signal.SIGTERM)
