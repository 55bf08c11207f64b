"""`mlplatform` and its commands."""

import click

from mlplatform.cli.commands import champion, platform, service, use_case

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mlplatform")
def main() -> None:
    """Machine-learning use cases, declared in one folder each, from raw events to a watched service."""


for _room in (platform, use_case, champion, service):
    for _name in _room.__all__:
        main.add_command(getattr(_room, _name))
