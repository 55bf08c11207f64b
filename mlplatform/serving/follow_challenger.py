"""How a running service takes up a challenger, or lets go of it: poll its file, load and warm up aside, begin."""

import logging
from pathlib import Path

from mlplatform.errors import ArtifactError
from mlplatform.serving.answers import answer_schema
from mlplatform.serving.challenger import Challenger, read_challenger
from mlplatform.serving.follow import FileFollower, load_named
from mlplatform.serving.scoring import Live, Slot
from mlplatform.serving.trial import Challenge, Trial

__all__ = ["ChallengerFollower"]

logger = logging.getLogger(__name__)


class ChallengerFollower(FileFollower):
    """Keeps a trial at what the challenger's file names; without the file nobody is tried.

    A challenger that is refused is not tried, nor is the one before: what runs is what the file says, or nothing. The
    champion's slot is only read.
    """

    def __init__(self, file: Path, slot: Slot, trial: Trial, every_seconds: float = 1.0) -> None:
        super().__init__(file, every_seconds)
        self._slot = slot
        self._trial = trial

    def _changed(self) -> None:
        if not self._file.exists():
            self._trial.end()
            return
        try:
            named = read_challenger(self._file)
            self._trial.begin(Challenge.of(named, self._loaded(named)))
        except Exception as error:  # whatever is wrong with a challenger, polling and the champion must go on
            foreseen = isinstance(error, ArtifactError)
            told = {"event": "challenger_refused"}
            logger.error("Challenger refused: %s", error, exc_info=not foreseen, extra=told)  # noqa: TRY400
            self._trial.refuse(str(error) if foreseen else f"{type(error).__name__}: {error}")
            return
        told = {"event": "challenger_started", "bento": named.bento, "version": named.version}
        logger.info("%s challenges as %s, share %s", named.bento, named.mode, named.share, extra=told)

    def _loaded(self, named: Challenger) -> Live:
        """Another share or mode of the same bundle loads nothing."""
        before = self._trial.challenge
        if before and (before.named.path, before.named.version) == (named.path, named.version):
            return before.live
        live, champion = load_named(named), self._slot.live
        if champion and champion.bundle.use_case != live.bundle.use_case:
            raise ArtifactError(f"{named.path} is of {live.bundle.use_case}; here {champion.bundle.use_case} is served")
        if champion and answer_schema(champion.bundle.model) != answer_schema(live.bundle.model):
            raise ArtifactError(
                f"{named.bento} answers something else than {champion.bento}: a caller could not take its answers"
            )
        return live
