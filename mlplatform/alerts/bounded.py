"""A delivery that ends in time, whatever the receiver does: time-outs of sockets begin again with every byte."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait

from mlplatform.errors import AlertError

__all__ = ["too_late", "within"]


def within(seconds: float, send: Callable[[], object], hang_up: Callable[[], None]) -> None:
    """Run `send` for at most `seconds` in all; then `hang_up` ends what it waits for.

    Raises:
        AlertError: it was not done in time.
    """
    ended: Future[None] = Future()
    # Not a pool's: the process would wait for it at its end. It ends by itself when its connection is gone.
    threading.Thread(target=_run, args=(send, ended), name="alert delivery", daemon=True).start()
    wait([ended], seconds)
    if not ended.done():
        hang_up()
        raise too_late(seconds)
    ended.result()


def too_late(seconds: float) -> AlertError:
    """What became of a delivery that took longer."""
    return AlertError(f"it was not delivered within {seconds:g} s")


def _run(send: Callable[[], object], ended: "Future[None]") -> None:
    try:
        send()
    except BaseException as error:
        ended.set_exception(error)
    else:
        ended.set_result(None)
