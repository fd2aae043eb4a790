"""What a run's own configuration says of its model, read from the text in the checkpoint."""

from __future__ import annotations

import ast
from contextlib import suppress
from typing import Any

_MAX_CHARACTERS = 2**20
_READ = ('model', 'data_preprocessor')


def read_run_config(text: Any) -> dict[str, Any]:
    """Read ``model`` and ``data_preprocessor`` of a dumped configuration without running it.

    Args:
        text (Any): ``meta['cfg']`` of a checkpoint of mmengine: assignments whose values are
            literals and calls of ``dict``. Anything else in it, or instead of it, says nothing.
    """
    if not isinstance(text, str) or len(text) > _MAX_CHARACTERS:
        return {}
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    config = {}
    for statement in statements:
        names = [getattr(each, 'id', None) for each in getattr(statement, 'targets', ())]
        if isinstance(statement, ast.Assign) and len(names) == 1 and names[0] in _READ:
            with suppress(ValueError, TypeError, RecursionError):  # not made of literals
                config[names[0]] = ast.literal_eval(_Literals().visit(statement.value))
    return config


class _Literals(ast.NodeTransformer):
    """Writes ``dict(a=b)`` as ``{'a': b}``; whatever else is called is no literal and stays."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Rewrite a call and those inside it."""
        self.generic_visit(node)
        names = [keyword.arg for keyword in node.keywords]
        if node.args or None in names or getattr(node.func, 'id', None) != 'dict':
            return node
        values = [keyword.value for keyword in node.keywords]
        return ast.Dict([*map(ast.Constant, names)], values)
