"""The declaration of one use case, as a person writes it in defs.yaml."""

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from mlplatform.spec._base import ColumnName, Declared
from mlplatform.spec.alerts import AlertChannel, LogChannel
from mlplatform.spec.drift import Drift
from mlplatform.spec.healing import DEFAULT_RULES, Rule
from mlplatform.spec.journal import Journal
from mlplatform.spec.performance import Performance
from mlplatform.spec.policy import CombinedPolicy, Policy
from mlplatform.spec.reserved import SQL_WORDS
from mlplatform.spec.rollback import Rollback
from mlplatform.spec.serving import Serving
from mlplatform.spec.source import Source
from mlplatform.spec.span import WholeDays
from mlplatform.spec.training import Training
from mlplatform.spec.watchdog import Watchdog

__all__ = ["Contract", "Leakage", "Outcomes", "UseCase"]


_LOGGED = {
    *("prediction_id", "request_id", "predicted_at", "event_time", "model_version", "bento", "role", "latency_ms"),
    *("score", "decision", "answer", "reasons", "features", "label"),
}


class Contract(Declared):
    """The Pandera models beside defs.yaml and how much of a batch may break them."""

    module: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*$")] = "contract"
    """Python file beside defs.yaml; holds one model per source (named like it) and `Features`."""
    max_bad_share: Annotated[float, Field(ge=0, le=1)] = 0.01
    """A batch with a larger share of bad rows stops the run."""


class Leakage(Declared):
    """The check that rebuilds sampled feature rows on history cut off at their own time."""

    rows: Annotated[int, Field(ge=1)] = 20
    """How many feature rows are rebuilt."""
    seed: int = 7
    """Which ones."""
    lookback_days: WholeDays = 45
    """How far back any feature looks; older history is not loaded for a rebuild."""


class Outcomes(Declared):
    """What the two labels are called in front of people."""

    positive: str = "positive"
    """Label 1."""
    negative: str = "negative"
    """Label 0."""


class UseCase(Declared):
    """One use case: where its rows come from, what is learned, what must hold, when to learn again."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    """Lower-case name, no word of SQL: the folder, the group in Dagster, the schema in the lake, the model in MLflow,
    the bento."""
    description: str
    """One sentence for people; it stands on the assets and in the service's OpenAPI."""
    owners: list[str] = []
    """Dagster owners: an e-mail address or `team:name`."""
    outcomes: Outcomes = Outcomes()
    """What the two labels of a binary task are called where people read them."""
    sources: Annotated[list[Source], Field(min_length=1)]
    """Where rows come from; each becomes an asset `raw_<name>`."""
    entity_keys: Annotated[list[ColumnName], Field(min_length=1)]
    """Columns of the spine that identify an example."""
    event_time: ColumnName = "event_time"
    """Column of the spine: when the example happened."""
    label_known_at: ColumnName = "label_known_at"
    """Column of the spine: when its label became known."""
    contract: Contract = Contract()
    """The data contract."""
    leakage: Leakage = Leakage()
    """The leakage check."""
    training: Training
    """Task, split, candidates and gates."""
    serving: Serving = Serving()
    """What the service knows beside the model."""
    journal: Journal = Journal()
    """What is kept of each served prediction."""
    performance: Performance = Performance()
    """How served predictions are judged when their labels arrive."""
    drift: Drift = Drift()
    """How windows are compared with the training rows."""
    policy: Policy = CombinedPolicy()
    """When to train again."""
    rollback: Rollback = Rollback()
    """When a fresh champion is taken back."""
    healing: list[Rule] = list(DEFAULT_RULES)
    """What is done when a run or a check fails; replaces the default rules. An empty list: nothing, but it is told."""
    watchdog: Watchdog = Watchdog()
    """What is watched beside the runs."""
    alerts: list[AlertChannel] = [LogChannel(kind="log")]
    """Who is told."""

    @field_validator("name")
    @classmethod
    def _name_is_no_word_of_sql(cls, name: str) -> str:
        if name in SQL_WORDS:
            raise ValueError(
                f"{name!r} is a word of SQL, and a use case's name becomes a schema in the lake; choose another, such "
                f"as {name}_model, for its folder and its dbt models, too"
            )
        return name

    @model_validator(mode="after")
    def _source_names_are_unique(self) -> "UseCase":
        names = [s.name for s in self.sources]
        if len(names) != len(set(names)):
            raise ValueError(f"two sources share a name: {', '.join(names)}; give each its own")
        return self

    @model_validator(mode="after")
    def _orders_and_forecasts_are_asked_for_by_key(self) -> "UseCase":
        task = self.training.task
        if task.kind in ("forecast", "ranking") and not self.serving.lookup:
            raise ValueError(
                f"a {task.kind} is asked for by a key, such as the person or the item; name them in serving.lookup"
            )
        return self

    @model_validator(mode="after")
    def _partitions_are_alike(self) -> "UseCase":
        """A run goes over one range of partitions; Dagster refuses a range that one of its assets does not have."""
        ranges = {f"{s.partition} from {s.start} to {s.end or 'now'}" for s in self.partitioned_sources}
        if len(ranges) > 1:
            raise ValueError(
                f"partitioned sources differ ({'; '.join(sorted(ranges))}); give them one `partition`, `start` and "
                "`end`, or `partition: none`"
            )
        return self

    @model_validator(mode="after")
    def _keys_have_names_of_their_own(self) -> "UseCase":
        if taken := sorted(set(self.entity_keys) & _LOGGED):
            raise ValueError(
                f"entity_keys names {', '.join(taken)}, which is a column of the log of predictions; rename it"
            )
        return self

    @model_validator(mode="after")
    def _the_journal_names_what_there_is(self) -> "UseCase":
        """A misspelt name would keep in clear what was to be hidden, or keep nothing."""
        known = [*self.training.features, *self.entity_keys, *self.serving.lookup]
        for field, names in (("columns", self.journal.columns or []), ("hashed", self.journal.hashed)):
            if unknown := sorted(set(names) - set(known)):
                raise ValueError(
                    f"journal.{field} names {', '.join(unknown)}; allowed are features and keys: "
                    f"{', '.join(dict.fromkeys(known))}"
                )
        return self

    @property
    def partitioned_sources(self) -> list[Source]:
        """Those that come a day or a month at a time."""
        return [source for source in self.sources if source.partition != "none"]
