"""Whether the services that run serve what is deployed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from mlplatform.watchdog.checks import Finding

__all__ = ["Deployed", "ServingWorker", "check_served", "parse_time"]

_TIME_TO_FOLLOW = timedelta(minutes=1)
"""A worker looks once a second; loading and warming up a large bundle takes some more."""
_READABLE = 200


@dataclass(frozen=True)
class Deployed:
    """What the pointer says. `at`: UTC without a zone; None where it is no time."""

    bento: str
    at: datetime | None


class _Refused(Protocol):
    @property
    def bento(self) -> str: ...
    @property
    def why(self) -> str: ...
    @property
    def since(self) -> str: ...


class ServingWorker(Protocol):
    """What a worker says that it serves."""

    @property
    def bento(self) -> str:
        """What answers; "" where nothing does."""
        ...

    @property
    def refused(self) -> _Refused | None:
        """The newest deployment, if it could not be taken up."""
        ...


def check_served(
    use_case: str, deployed: Deployed | None, workers: Sequence[ServingWorker], now: datetime
) -> Iterator[Finding]:
    """Deployments that running workers refuse, and workers that have not followed in a minute."""
    refusing = [worker for worker in workers if worker.refused]
    for bento in sorted({worker.refused.bento for worker in refusing if worker.refused}):
        yield _refused(use_case, bento, workers)
    if deployed is None or deployed.at is None or now - deployed.at < _TIME_TO_FOLLOW:
        return
    behind = [worker for worker in workers if worker.bento != deployed.bento and not worker.refused]
    if behind:
        title = f"{_count(behind, workers)} of {use_case} still {_verb(behind)} {_named(behind)}, not {deployed.bento}"
        yield Finding(f"deployment {deployed.bento} not followed", title, "see the service's log; start it again")


def _refused(use_case: str, bento: str, workers: Sequence[ServingWorker]) -> Finding:
    of_bento = [worker for worker in workers if worker.refused and worker.refused.bento == bento]
    refusals = [worker.refused for worker in of_bento if worker.refused]
    since, why = min(refusal.since for refusal in refusals), refusals[0].why[:_READABLE]
    what = bento or "the pointer"
    answers = f"{_named(of_bento)} answers" if _named(of_bento) else "nothing answers"
    title = f"{what} is refused by {_count(of_bento, workers)} of {use_case} since {since}: {why}; {answers}"
    again = f'mlplatform run {use_case} --select \'key:"{use_case}/bento" or key:"{use_case}/deployment"\''
    remove = f"if its files were damaged, `bentoml delete {bento}` first" if bento else "the pointer is written anew"
    advice = f"`mlplatform rollback {use_case} --reason …`, or `{again}` ({remove})"
    return Finding(f"deployment {what} refused", title, advice)


def _count(some: Sequence[ServingWorker], of_all: Sequence[ServingWorker]) -> str:
    if len(of_all) == 1:
        return "the service"
    return f"{len(some)} of {len(of_all)} workers"


def _verb(some: Sequence[ServingWorker]) -> str:
    return "serves" if len(some) == 1 else "serve"


def _named(workers: Sequence[ServingWorker]) -> str:
    return ", ".join(sorted({worker.bento for worker in workers if worker.bento}))


def parse_time(text: str) -> datetime | None:
    """An ISO time as UTC without a zone."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at
