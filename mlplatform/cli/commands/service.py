"""Commands about services: start, ask, let in, package."""

import json
import sys
from pathlib import Path

import click

from mlplatform.cli.reported import FILE, reported

__all__ = ["image", "keys", "predict", "serve"]


@click.command()
@click.argument("use_case")
@click.option("--port", default=3003, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Another address needs API keys or tokens.")
@click.option("--workers", default=None, type=click.IntRange(1, 256), help="Processes; default: serving.workers, 1.")
@click.option("--ssl-certfile", default=None, type=FILE, help="PEM; the service then speaks https only.")
@click.option("--ssl-keyfile", default=None, type=FILE, help="PEM, without a passphrase.")
@reported
def serve(
    use_case: str, port: int, host: str, workers: int | None, ssl_certfile: Path | None, ssl_keyfile: Path | None
) -> int:
    """Serve the deployed bento on 127.0.0.1; new deployments are followed without a restart."""
    from mlplatform.cli.serve import serve_use_case
    from mlplatform.serving.launch import Listen

    return serve_use_case(use_case, port, Listen(host, ssl_certfile, ssl_keyfile), workers)


@click.command()
@click.argument("use_case")
@click.option("--json", "body", required=True, help='A row, {"rows": [...]}, or a key; - reads standard input.')
@click.option("--url", default=None, help="Where the service is; default: looked for on ports 3003 and on.")
@reported
def predict(use_case: str, body: str, url: str | None) -> int:
    """Ask the running service for a prediction."""
    from mlplatform.cli.serve import ask, find_service
    from mlplatform.spec import load_declaration

    load_declaration(use_case)
    answer = ask(use_case, url or find_service(use_case), sys.stdin.read() if body == "-" else body)
    click.echo(json.dumps(answer.body, indent=2))
    return 0 if answer.ok else 1


@click.command()
@click.argument("use_case")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="A folder that is not there yet: the build context."
)
@click.option("--image", default=None, help="Its name in your registry, for the manifests.")
@click.option(
    "--with",
    "extras",
    multiple=True,
    type=click.Choice(["aws", "score", "traces"]),
    help="aws: AWS Lambda; score: raw events on a mounted lake; traces: OpenTelemetry. May be given again.",
)
@reported
def image(use_case: str, out: Path, image: str | None, extras: tuple[str, ...]) -> None:
    """Write what the image of the deployed bento is built from: slim, not root, read-only; and its manifests."""
    from mlplatform.cli.image import write_image

    write_image(use_case, out, image, extras)


@click.group()
def keys() -> None:
    """API keys of a use case's services; several are valid at once, so that one can be exchanged for another."""


@keys.command("create")
@click.argument("use_case")
@click.argument("name")
@click.option(
    "--days", default=None, type=click.FloatRange(0, min_open=True), help="Valid for; default: until revoked."
)
@reported
def keys_create(use_case: str, name: str, days: float | None) -> None:
    """Make a key and show it, this once."""
    from mlplatform.cli.keys import create

    create(use_case, name, days)


@keys.command("list")
@click.argument("use_case")
@reported
def keys_list(use_case: str) -> None:
    """Names, and until when they are valid; never the keys."""
    from mlplatform.cli.keys import show

    show(use_case)


@keys.command("revoke")
@click.argument("use_case")
@click.argument("name")
@reported
def keys_revoke(use_case: str, name: str) -> None:
    """Let nobody in with this key any more; running services follow within seconds."""
    from mlplatform.cli.keys import revoke

    revoke(use_case, name)
