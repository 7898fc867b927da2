"""The house: which wing may import which, read from the syntax trees of all modules."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from snakemake_runs import PROJECT

STOREYS = (
    {"config"},
    {"runtime"},
    {"compute"},
    {"data", "models"},
    {"batches"},
    {"evaluation", "records"},
    {"pictures"},
    {"training", "study", "published"},
    {""},
)
"""Wings from the ground up; the empty name: programs and doors. Those of one storey do not see each
other."""
DOORS = {"ocvp.checkpoint", "ocvp.rollout", "ocvp.videos"}
PATHS = {
    ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((PROJECT / "ocvp").rglob("*.py"))
}


def wing_of(module: str) -> str:
    """Return the wing of a module; empty for programs and doors."""
    return module.split(".")[1] if module.count(".") > 1 or is_package(module) else ""


def is_package(module: str) -> bool:
    return PATHS[module].name == "__init__.py" and module != "ocvp"


def storey_of(module: str) -> int:
    """Return the number of a module's storey, from the ground up."""
    (number,) = (n for n, wings in enumerate(STOREYS) if wing_of(module) in wings)
    return number


def imports_of(path: Path) -> Iterator[str]:
    """Yield the modules of the package that a module imports anywhere, functions included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in PATHS)
        elif isinstance(node, ast.ImportFrom) and node.module in PATHS:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in PATHS else node.module


IMPORTS = {module: set(imports_of(path)) for module, path in PATHS.items()}


def test_the_storeys_hold_every_wing():
    assert {wing_of(module) for module in PATHS} == set().union(*STOREYS)
    assert "ocvp.models.savi" in IMPORTS["ocvp.train_savi"]  # what is read is not nothing


@pytest.mark.parametrize("module", sorted(PATHS))
def test_imports_run_down_the_storeys(module):
    for imported in IMPORTS[module]:
        is_own = wing_of(imported) == wing_of(module) != ""
        assert is_own or storey_of(imported) < storey_of(module), f"{module} imports {imported}"


def test_no_module_imports_itself_through_others():
    finished: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " imports ".join([*above, module])
        if module not in finished:
            for imported in sorted(IMPORTS[module]):
                visit(imported, (*above, module))
            finished.add(module)

    for module in PATHS:
        visit(module, ())


def test_programs_and_doors_are_imported_by_nothing():
    top = {module for module in PATHS if wing_of(module) == "" and module != "ocvp"}
    assert top >= DOORS
    assert {module: found for module, found in IMPORTS.items() if found & top} == {}


@pytest.mark.parametrize("module", [*filter(is_package, PATHS)])
def test_a_wing_holds_a_docstring_and_nothing_else(module):
    (statement,) = ast.parse(PATHS[module].read_text(encoding="utf-8")).body
    assert isinstance(statement, ast.Expr)
    assert isinstance(statement.value, ast.Constant)


def test_modules_stay_short():
    lines = {module: len(path.read_text().splitlines()) for module, path in PATHS.items()}
    assert {module: count for module, count in lines.items() if count > 350} == {}
