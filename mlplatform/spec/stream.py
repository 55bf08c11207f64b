"""A stream of messages as a source: which broker, which messages, how many are stored together."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt, model_validator

from mlplatform.spec._base import ColumnName, Declared
from mlplatform.spec.any_source import AnySource
from mlplatform.spec.by_kind import ByKind
from mlplatform.spec.span import Seconds
from mlplatform.spec.variable import variable

__all__ = ["Mqtt", "Nats", "StreamSource"]

Variable = Annotated[str, AfterValidator(variable)]


class _Login(Declared):
    user_variable: Variable | None = None
    """The environment variable that holds the user; left out, nobody logs in."""
    password_variable: Variable | None = None
    """The one that holds the password."""

    @model_validator(mode="after")
    def _both_or_neither(self) -> "_Login":
        if (self.user_variable is None) != (self.password_variable is None):
            raise ValueError("a login has both `user_variable` and `password_variable`, or neither")
        return self


class Mqtt(_Login):
    """An MQTT 5 broker, such as Mosquitto: the usual one of sensors and machines."""

    kind: Literal["mqtt"]
    """MQTT."""
    host: str
    """Its host."""
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    """Its port; 8883 is usual with `tls`."""
    topic: str
    """The topic or filter that is subscribed to (quality of service 1), such as `plant/+/temperature` or `plant/#`."""
    client: str
    """The client's id: under it the broker keeps what arrives between two runs. No two clients may share it."""
    tls: bool = False
    """Whether the connection is encrypted; the broker's certificate is then checked."""


class Nats(_Login):
    """A stream of NATS JetStream, which keeps messages and numbers them."""

    kind: Literal["nats"]
    """NATS JetStream."""
    url: Annotated[str, Field(pattern=r"^(nats|tls)://[^@/]+$")]
    """`nats://host:port`, or `tls://host:port`; who logs in stands in variables."""
    stream: str
    """The stream's name."""
    subject: str | None = None
    """Which of its subjects, `*` and `>` allowed; left out, all."""
    durable: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] = "mlplatform"
    """The name of the consumer, under which the server shows how far it has read. One for each source of a stream."""


Broker = Annotated[Mqtt | Nats, Field(discriminator="kind"), ByKind()]


class StreamSource(AnySource):
    """Messages that hold JSON, read in micro-batches: an object is a row, a list of objects several."""

    absent_is_missing: ClassVar[bool] = True

    kind: Literal["stream"]
    """Rows come as messages."""
    broker: Broker
    """Where from."""
    columns: dict[str, str] = {}
    """Rename: name in the contract -> name in the message, with dots for what is nested. Others keep their name."""
    topic_column: ColumnName | None = None
    """The column that holds the message's topic or subject, which often names the device."""
    rows_per_commit: PositiveInt = 5_000
    """How many messages are stored together; the broker is told so afterwards."""
    quiet_seconds: Seconds = 2
    """MQTT: a run ends when no message has come for so long."""
    seconds_per_run: Seconds = 300
    """A run ends after so long, if the stream never is quiet; the sensor asks for the next one."""
    tolerated_messages: NonNegativeInt = 10
    """So many bad messages of a micro-batch go to quarantine, whatever their share. Of more than that the contract's
    `max_bad_share` decides: above it nothing is stored, and the messages come again."""

    @classmethod
    def reads_on(cls, given: Mapping[str, Any]) -> bool:  # noqa: ARG003 - a stream always does
        """A stream goes on where it stopped."""
        return True
