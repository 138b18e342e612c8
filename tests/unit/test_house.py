"""The package's own order: no module imports another that, in the end, imports it."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import sgrpo_verl

PACKAGE = Path(sgrpo_verl.__file__).parent


def imported_at_load(tree):
    """Names of modules that loading a module loads: imports outside functions."""
    for node in tree.body:
        inside = [node, *getattr(node, "body", [])] if isinstance(node, ast.If | ast.Try) else [node]
        for one in inside:
            if isinstance(one, ast.Import):
                yield from (alias.name for alias in one.names)
            elif isinstance(one, ast.ImportFrom) and one.module:
                yield one.module
                yield from (f"{one.module}.{alias.name}" for alias in one.names)


def test_no_import_goes_in_a_circle():
    files = {
        ".".join(("sgrpo_verl", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): file
        for file in PACKAGE.rglob("*.py")
    }
    graph = {
        name: {one for one in imported_at_load(ast.parse(file.read_text())) if one in files and one != name}
        for name, file in files.items()
    }
    assert len(graph) > 60
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_nothing_but_the_toy_names_the_toy():
    """Also not in a function, nor as a path for verl to import."""
    others = [file for file in PACKAGE.rglob("*.py") if file.parent != PACKAGE / "toy"]
    assert [file.name for file in others if re.search(r"sgrpo_verl[./]toy", file.read_text())] == []
