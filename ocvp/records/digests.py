"""Digests that decide what is stale: of the code of a stage, and of JSON values.

Snakemake does not see an edit of an imported module. A rule therefore has the digest of all modules
that its program imports among its params.
"""

import ast
import functools
import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

PACKAGE = "ocvp"
NOT_CODE = (
    "ocvp.config",
    "ocvp.records",
    "ocvp.runtime",
    "ocvp.study",
)
"""Wings whose effect is in the params already (the values of the config, and the digests), or that
only carry, start or say: a product does not change with them."""

SPOKEN = ("description", "epilog", "help", "metavar")
"""Keywords of calls that hold what a program says of itself, as do those that end in `_help`."""


def code_digest(*modules: str) -> str:
    """Return a digest of the code that the modules hold and import from this package.

    It is taken over syntax trees without docstrings, help texts and log messages, so that what only
    speaks does not count, nor do comments and layout. It is blind to names and places of modules:
    an import counts by what the imported module holds. Imports within functions do not count: a
    stage names what it loads that way. Neither do imports for type checkers.

    Args:
        modules: Full names, for example `"ocvp.train_savi"`.

    Returns:
        A sha256 in hexadecimal.

    Raises:
        ValueError: If a module does not exist or cannot be parsed.
    """
    # a set, so that neither the number of empty packages nor any order counts
    texts = {_module_digest(name) for name in import_closure(*modules)}
    return hashlib.sha256("\0".join(sorted(texts)).encode()).hexdigest()


def package_files_digest(pattern: str) -> str:
    """Return a digest of what files of the package hold that are no modules.

    Args:
        pattern: Which files, from the folder of the package; they count in the order of their
            names.

    Returns:
        A sha256 in hexadecimal.
    """
    paths = sorted(_source(PACKAGE).parent.glob(pattern))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()


def import_closure(*modules: str) -> set[str]:
    """Return the modules and all that they import from this package, without what is no code.

    Args:
        modules: Full names, for example `"ocvp.train_savi"`.

    Raises:
        ValueError: If a module does not exist or cannot be parsed.
    """
    closure: set[str] = set()
    open_names = list(modules)
    while open_names:
        name = open_names.pop()
        if name not in closure and is_code(name):
            closure.add(name)
            open_names.extend(found.module for found in _imports(name) if found.counts)
            open_names.extend(filter(None, [name.rpartition(".")[0]]))  # the package that holds it
    return closure


def is_code(name: str) -> bool:
    """Tell whether a module can change a product (see NOT_CODE)."""
    return not any(name == wing or name.startswith(f"{wing}.") for wing in NOT_CODE)


@functools.cache
def _source(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ValueError(f"module {name} does not exist")
    return Path(spec.origin)


@functools.cache
def _module_digest(name: str) -> str:
    """Return the digest of a module, with what it imports by content in place of names."""
    # what a module imports late, or from what is no code, counts by name alone
    marks = {
        f"{_own_digest(found.module) if found.counts else ''} {found.name} {found.alias}"
        for found in _imports(name)
    }
    return hashlib.sha256("\0".join([_own_digest(name), *sorted(marks)]).encode()).hexdigest()


def _own_digest(name: str) -> str:
    """Return the digest of a module without its imports from this package."""
    return _read(name)[0]


def _imports(name: str) -> "tuple[_Import, ...]":
    return _read(name)[1]


@functools.cache
def _read(name: str) -> "tuple[str, tuple[_Import, ...]]":
    """Return the digest of a module without its imports from this package, and these imports."""
    path = _source(name)
    try:
        # not kept: so many objects would slow down Python's garbage collection
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise ValueError(f"{path}, line {error.lineno}: {error.msg}") from None
    digest = hashlib.sha256(_text(tree).encode()).hexdigest()
    return digest, tuple(_imports_in(tree.body, _package_of(name), is_at_once=True))


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
        return f"[{','.join(_text(item) for item in value if not _is_left_out(item))}]"
    return repr(value)


def _is_left_out(node: Any) -> bool:
    """Tell whether a statement or keyword only speaks, or imports from this package."""
    match node:
        case ast.keyword(arg=str(name)):
            return name in SPOKEN or name.endswith("_help")
        # A string that stands alone is a docstring, also under a field or a constant.
        case ast.Expr(value=ast.Constant(value=str())):
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="logger")))):
            return True
        case ast.Import(names=names):
            return all(_is_ours(alias.name) for alias in names)
        case ast.ImportFrom(module=module, level=level):
            return level > 0 or _is_ours(module or "")
    return False


# --- imports ------------------------------------------------------------------------------------


class _Import(NamedTuple):
    """Something that a module imports from this package."""

    module: str
    """Full name of the module that it lies in, or is."""
    name: str
    """Its name there; empty: the module itself."""
    alias: str
    """Its name here."""
    counts: bool
    """Whether it is imported as soon as this module is, and the module there is code."""


def _imports_in(nodes: list[Any], package: str, is_at_once: bool) -> Iterator[_Import]:
    """Yield what statements import; `is_at_once`: as soon as their module is imported."""
    for node in nodes:
        if isinstance(node, ast.Import):
            targets = [(alias.name, "", alias.asname or alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            targets = list(_targets(node, package))
        else:
            targets = []
        for module, imported, alias in targets:
            if _is_ours(module):
                yield _Import(module, imported, alias, is_at_once and is_code(module))
        is_late = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            yield from _imports_in(node.body, package, is_at_once=False)
            yield from _imports_in(node.orelse, package, is_at_once)
        else:
            # Imports are statements, and statements stand in no expression.
            children = [c for c in ast.iter_child_nodes(node) if not isinstance(c, ast.expr)]
            yield from _imports_in(children, package, is_at_once and not is_late)


def _targets(node: ast.ImportFrom, package: str) -> Iterator[tuple[str, str, str]]:
    """Yield module, name and alias of what `from ... import ...` imports."""
    base = ".".join(package.split(".")[: package.count(".") + 2 - node.level]) if node.level else ""
    module = ".".join(filter(None, [base, node.module]))
    for alias in node.names:
        inner = f"{module}.{alias.name}"
        # `from ocvp.models import savi` names a module, `from ocvp.models.savi import SAVi` not.
        if _is_ours(module) and _is_module(inner):
            yield inner, "", alias.asname or alias.name
        else:
            yield module, alias.name, alias.asname or alias.name


def _package_of(name: str) -> str:
    return name if _source(name).name == "__init__.py" else name.rpartition(".")[0]


def _is_ours(name: str) -> bool:
    return name == PACKAGE or name.startswith(f"{PACKAGE}.")


@functools.cache
def _is_module(name: str) -> bool:
    package, _, leaf = name.rpartition(".")
    folder = _source(package)
    places = (folder.with_name(f"{leaf}.py"), folder.parent / leaf / "__init__.py")
    return folder.name == "__init__.py" and any(path.is_file() for path in places)
