"""Requests while there is a challenger: a shadow scores what has been answered; a canary answers a share itself.

The share is sticky by entity. Wherever the canary fails, the champion answers.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

from mlplatform.serving.answering import answer, answered_without_asking, is_by_key, read_rows
from mlplatform.serving.identity import key_text
from mlplatform.serving.request import Parsed, RefusedError
from mlplatform.serving.scoring import Answered, Live
from mlplatform.serving.trial import CANARY, Challenge, Trial

__all__ = ["CHAMPION", "QUESTION", "Part", "Reply", "answer_tried", "entity_of"]

CHAMPION, QUESTION = "champion", "question"
"""Roles of an answer in the journal: of something that happened, and of what somebody only asked about."""


class Part(NamedTuple):
    """What one model answered of a request, for the journal. A tuple: one is made for every request."""

    live: Live
    answered: Answered
    role: str = CHAMPION


class Reply(NamedTuple):
    """What goes out, in the name of the first part's model, and who answered what of it."""

    content: Mapping[str, Any]
    parts: tuple[Part, ...]
    afterwards: Callable[[float], None] | None = None
    """To be called when the answer has gone out, with the milliseconds that it took."""


async def answer_tried(trial: Trial, live: Live, request: Parsed, identity: str) -> Reply:
    """The answer while there is a challenger. Raises as `answer` does."""
    challenge = trial.active(live)
    if challenge and challenge.named.mode == "canary":
        return await _answer_canary(trial, challenge, live, request, identity)
    started = perf_counter()
    said = await answer(live, request)
    scoring_ms = 1000 * (perf_counter() - started)
    if challenge is None:
        return _by_champion(live, said)

    def shadow(took_ms: float) -> None:
        trial.shadow(challenge, request, len(said.answers), identity, took_ms - scoring_ms)

    return _by_champion(live, said)._replace(afterwards=shadow)


async def _answer_canary(trial: Trial, challenge: Challenge, live: Live, request: Parsed, identity: str) -> Reply:
    """What the champion would refuse is refused, whoever would have answered."""
    names = _checked(live, request)
    taken = [challenge.named.takes(entity_of(row, names) or identity) for row in request.rows]
    if not any(taken):
        return _by_champion(live, await answer(live, request))
    if not all(taken):
        return await _answer_in_parts(trial, challenge, live, request, taken)
    said = await trial.ask(challenge, partial(answered_without_asking, challenge.live, request))
    if said is None:
        return _by_champion(live, await answer(live, request))
    return Reply(said.content, (Part(challenge.live, said, CANARY),))


def _checked(live: Live, request: Parsed) -> Sequence[str]:
    """Names of the keys that this request may name; raises RefusedError if it is none."""
    lookup = live.bundle.lookup
    if lookup is None or not is_by_key(live, request):
        read_rows(live, request)
        return live.bundle.journal.keys
    if isinstance(wrong := lookup.find(request.rows[0]), str):
        raise RefusedError(422, wrong)
    return lookup.settings.keys


def _by_champion(live: Live, said: Answered) -> Reply:
    return Reply(said.content, (Part(live, said),))


def entity_of(row: Mapping[str, Any], names: Sequence[str]) -> str:
    """The keys that a row names, as one text; empty if it names none."""
    return "\x1f".join(f"{name}={key_text(row[name])}" for name in names if row.get(name) is not None)


async def _answer_in_parts(
    trial: Trial, challenge: Challenge, live: Live, request: Parsed, taken: Sequence[bool]
) -> Reply:
    """Rows of one request that are about entities on both sides: each is answered by its own model.

    The response is in the champion's name; a prediction of the challenger's says so itself.
    """
    theirs = _only(request, taken)
    said = await trial.ask(challenge, partial(answered_without_asking, challenge.live, theirs))
    if said is None:
        return _by_champion(live, await answer(live, request))
    ours = await answer(live, _only(request, [not each for each in taken]))
    stamp, other, own = challenge.live.stamp, iter(said.answers), iter(ours.answers)
    merged = [{**next(other), **stamp} if each else dict(next(own)) for each in taken]
    parts = (Part(live, ours), Part(challenge.live, said, CANARY))
    return Reply({"predictions": merged}, parts)


def _only(request: Parsed, chosen: Sequence[bool]) -> Parsed:
    rows = [row for row, is_chosen in zip(request.rows, chosen, strict=True) if is_chosen]
    return Parsed(rows, request.explain, single=False)
