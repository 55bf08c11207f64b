"""The pages say what the code says."""

import re
import runpy
from pathlib import Path

import pytest

from mlplatform.cli import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_tables_of_a_declaration_are_those_of_its_models() -> None:
    page = (ROOT / "docs" / "use-case.md").read_text(encoding="utf-8")
    script = runpy.run_path(str(ROOT / "docs" / "spec_tables.py"))
    assert script["with_tables"](page) == page, "run: python docs/spec_tables.py"


def test_every_field_of_a_declaration_says_what_it_means() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "spec_tables.py"))
    silent = [
        f"{place}.{name}"
        for place, model in script["models"]()
        for name, f in model.model_fields.items()
        if not f.description
    ]
    assert silent == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_pictures_of_a_page_exist(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_of_a_page_exist(page: Path) -> None:
    named = set(
        re.findall(r"^\s*(?:\$ )?mlplatform ([a-z-]+)|`mlplatform ([a-z-]+)", page.read_text(encoding="utf-8"), re.M)
    )
    unknown = {first or second for first, second in named} - set(main.commands)
    assert unknown == set()
