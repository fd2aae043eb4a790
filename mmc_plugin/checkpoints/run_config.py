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
                config[target.id] = _evaluate(statement.value)
            except (ValueError, TypeError, RecursionError):
                continue  # not made of literals: it says nothing
    return config


def _evaluate(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        if node.args or any(keyword.arg is None for keyword in node.keywords):
            raise ValueError('only keywords are read')
        return {keyword.arg: _evaluate(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.List | ast.Tuple):
        return [_evaluate(item) for item in node.elts]
    if isinstance(node, ast.Dict) and None not in node.keys:
        keys = [ast.literal_eval(key) for key in node.keys]
        return dict(zip(keys, [_evaluate(value) for value in node.values]))
    return ast.literal_eval(node)
