from pathlib import Path

import pytest

from mlplatform.home import Home
from mlplatform.spec import declared_use_cases

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.mark.parametrize("use_case", declared_use_cases())
def test_the_graph_of_a_use_case_is_the_one_on_record(use_case: str, prepared: Home) -> None:
    from mlplatform.definitions import defs

    graph = defs().resolve_asset_graph()
    lines = []
    for key in sorted(graph.get_all_asset_keys(), key=lambda k: k.to_user_string()):
        if key.path[0] != use_case:
            continue
        node = graph.get(key)
        parents = ", ".join(sorted(parent.path[-1] for parent in node.parent_keys)) or "-"
        checks = ", ".join(sorted(check.name for check in node.check_keys)) or "-"
        lines.append(f"{key.path[-1]}\n    from   {parents}\n    checks {checks}")
    assert "\n".join(lines) + "\n" == (GOLDEN / f"{use_case}.txt").read_text()
