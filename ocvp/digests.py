"""Digests that decide what is stale: of the code of a stage, and of JSON values.

Snakemake does not see an edit of an imported module. A rule therefore has the digest of all modules
that its program imports among its params.
"""

import ast
import functools
import hashlib
import importlib.util
from pathlib import Path
from typing import Any

PACKAGE = "ocvp"
NOT_CODE = (
    "ocvp.changes",
    "ocvp.config",
    "ocvp.config_datasets",
    "ocvp.config_models",
    "ocvp.config_section",
    "ocvp.environment",
    "ocvp.event_file",
    "ocvp.gpus",
    "ocvp.launch",
    "ocvp.lock",
    "ocvp.products",
    "ocvp.records",
    "ocvp.stages",
    "ocvp.study",
    "ocvp.study_records",
    "ocvp.training_log",
)
"""Modules whose effect is in the params already (the values of the config, and the digests), or
that only record how and decide where a product is made: it does not change with them."""


def code_digest(*modules: str) -> str:
    """Return a digest of the code that the modules hold and import from this package.

    It is taken over syntax trees without docstrings, so that comments, docstrings and layout do not
    count, and over names, not paths, so that it is the same wherever the package lies. Imports
    within functions do not count: a stage names what it loads that way. Neither do imports for type
    checkers.

    Args:
        modules: Full names, for example `"ocvp.train_savi"`.

    Returns:
        A sha256 in hexadecimal.

    Raises:
        ValueError: If a module does not exist or cannot be parsed.
    """
    digest = hashlib.sha256()
    for name in sorted(import_closure(*modules)):
        digest.update(f"{name}\0{_tree_digest(name)}\0".encode())
    return digest.hexdigest()


def import_closure(*modules: str) -> set[str]:
    """Return the modules and all that they import from this package, without the config's models.

    Args:
        modules: Full names, for example `"ocvp.train_savi"`.

    Raises:
        ValueError: If a module does not exist or cannot be parsed.
    """
    closure: set[str] = set()
    open_names = [PACKAGE, *modules]
    while open_names:
        name = open_names.pop()
        if name not in closure and name not in NOT_CODE:
            closure.add(name)
            open_names.extend(_imports(name))
    return closure


@functools.cache
def _source(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ValueError(f"module {name} does not exist")
    return Path(spec.origin)


@functools.cache
def _tree(name: str) -> ast.Module:
    path = _source(name)
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise ValueError(f"{path}, line {error.lineno}: {error.msg}") from None


@functools.cache
def _tree_digest(name: str) -> str:
    return hashlib.sha256(_text(_tree(name)).encode()).hexdigest()


def _text(value: Any) -> str:
    """Return a syntax tree as text that every version of Python gives alike.

    Those of `ast.dump` and `ast.unparse` change with it: what is empty is left out here, as newer
    versions add fields that are, and empty pieces of formatted strings.
    """
    if isinstance(value, ast.JoinedStr):
        pieces = [piece for piece in value.values if getattr(piece, "value", None) != ""]
        return f"JoinedStr({_text(pieces)})"
    if isinstance(value, ast.AST):
        fields = [(name, getattr(value, name, None)) for name in value._fields if name != "kind"]
        parts = [f"{name}={_text(part)}" for name, part in fields if part not in (None, [])]
        return f"{type(value).__name__}({','.join(parts)})"
    if isinstance(value, list):
        # A string that stands alone is a docstring, also under a field or a constant.
        return f"[{','.join(_text(item) for item in value if not _is_docstring(item))}]"
    return repr(value)


def _is_docstring(node: Any) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@functools.cache
def _imports(name: str) -> tuple[str, ...]:
    """Return the modules of this package that a module imports when it is itself imported."""
    found: set[str] = set()
    open_nodes: list[ast.AST] = list(_tree(name).body)
    while open_nodes:
        node = open_nodes.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            open_nodes.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # The package is flat: `from . import savi` is `from ocvp import savi`.
            module = ".".join(filter(None, [PACKAGE if node.level else "", node.module]))
            found.add(module)
            # `from ocvp import savi` names a module, `from ocvp.savi import SAVi` does not.
            found.update(
                f"{module}.{alias.name}"
                for alias in node.names
                if module == PACKAGE and _is_module(f"{PACKAGE}.{alias.name}")
            )
        # Imports are statements, and statements stand in no expression.
        open_nodes.extend(
            child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr)
        )
    return tuple(sorted(f for f in found if f == PACKAGE or f.startswith(f"{PACKAGE}.")))


def _is_module(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
