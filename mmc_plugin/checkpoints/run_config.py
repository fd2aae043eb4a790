"""What a run's own configuration says of its model, read from the text in the checkpoint."""

from __future__ import annotations

import ast
from typing import Any

_MAX_CHARACTERS = 2**20
_READ = ('model', 'data_preprocessor')


def read_run_config(text: Any) -> dict[str, Any]:
    """Read ``model`` and ``data_preprocessor`` of a dumped configuration without running it.

    Args:
        text (Any): ``meta['cfg']`` of a checkpoint of mmengine: assignments whose values are
            literals and calls of ``dict``. Anything that is not such a text says nothing.

    Returns:
        dict[str, Any]: Those of the two that are there and made of literals only.
    """
    if not isinstance(text, str) or len(text) > _MAX_CHARACTERS:
        return {}
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    config = {}
    for statement in statements:
        if not (isinstance(statement, ast.Assign) and len(statement.targets) == 1):
            continue
        target = statement.targets[0]
        if isinstance(target, ast.Name) and target.id in _READ:
            try:
                config[target.id] = ast.literal_eval(_Literals().visit(statement.value))
            except (ValueError, TypeError, RecursionError):
                continue  # not made of literals: it says nothing
    return config


class _Literals(ast.NodeTransformer):
    """Writes ``dict(a=b)`` as ``{'a': b}``; whatever else is called is no literal and stays."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Rewrite a call and those inside it."""
        self.generic_visit(node)
        named = not node.args and all(keyword.arg is not None for keyword in node.keywords)
        if not (named and isinstance(node.func, ast.Name) and node.func.id == 'dict'):
            return node
        keys = [ast.Constant(keyword.arg) for keyword in node.keywords]
        return ast.Dict(keys, [keyword.value for keyword in node.keywords])
