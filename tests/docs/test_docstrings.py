"""Each public name is documented, with the shapes of its tensors and the parameters that it has."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / 'mmc_plugin'
_SECTION = re.compile(r'^(Args|Attributes|Returns|Yields|Raises):\n((?:[ ]{4}.*\n|\n)+)', re.M)
_ENTRY = re.compile(r'^(\*{0,2}\w+) \((.*?)\): ((?:.*\n?)(?:[ ]+.*\n?)*)', re.M)
_SHAPE = re.compile(r'\([^)]*[,.][^)]*\)|\bscalar|\bshape\b|\bsame\b|see :', re.I)
# Weights by name have a shape each, that of the network.
_ONE_TENSOR = re.compile(r'(?<![\[\w], )(?<!Mapping\[str, )(?<!dict\[str, )\b(Tensor|ndarray)\b')

Function = ast.FunctionDef | ast.AsyncFunctionDef


def public(body: list[ast.stmt], path: str) -> Iterator[tuple[str, ast.AST]]:
    for node in body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith('_'):
            yield f'{path}:{node.lineno} {node.name}', node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, path)


PUBLIC = [
    found
    for file in sorted(PACKAGE.rglob('*.py'))
    for found in public(
        ast.parse(file.read_text(encoding='utf-8')).body, str(file.relative_to(PACKAGE.parent))
    )
]


def sections(node: ast.AST) -> dict[str, str]:
    """The parts of a docstring, without their indentation."""
    text = (ast.get_docstring(node) or '') + '\n'
    return {name: re.sub(r'^ {4}', '', part, flags=re.M) for name, part in _SECTION.findall(text)}


def without_shape(node: ast.AST) -> list[str]:
    found = sections(node)
    entries = [(name, kind, rest) for name, kind, rest in _ENTRY.findall(found.get('Args', ''))]
    kind, _, rest = found.get('Returns', '').partition(':')
    entries.append(('the value', kind, rest))
    return [
        name for name, kind, rest in entries
        if _ONE_TENSOR.search(kind) and not _SHAPE.search(rest)
    ]  # fmt: skip


def signature(node: ast.AST) -> set[str] | None:
    """Names of a function's parameters, or those of a class; None for one that inherits them."""
    if isinstance(node, ast.ClassDef):
        own = [each for each in node.body if getattr(each, 'name', '') == '__init__']
        return signature(own[0]) if own else None
    given = node.args
    names = {each.arg for each in [*given.posonlyargs, *given.args, *given.kwonlyargs]}
    stars = {'*': given.vararg, '**': given.kwarg}
    return names | {star + each.arg for star, each in stars.items() if each}


def test_each_has_a_docstring():
    assert len(PUBLIC) > 700
    assert not [where for where, node in PUBLIC if not ast.get_docstring(node)]


def test_tensors_have_shapes():
    assert not [f'{where}: {name}' for where, node in PUBLIC for name in without_shape(node)]


def test_parameters_that_are_documented_exist():
    wrong = []
    for where, node in PUBLIC:
        known = signature(node)
        for name, _, _ in _ENTRY.findall(sections(node).get('Args', '')):
            if known is not None and name not in known:
                wrong.append(f'{where}: {name}')
    assert not wrong


@pytest.mark.parametrize(
    'kind, rest, found',
    [
        ('Tensor', '(B, D).', False),
        ('np.ndarray, optional', 'uint8 RGB of shape (H, W, 3).', False),
        ('Tensor', 'Of the images.', True),
        ('list[Tensor]', 'Tokens.', True),
        ('Mapping[str, Tensor]', 'Weights by name.', False),
        ('Tensor | float', 'Scalar.', False),
    ],
)
def test_what_counts_as_a_shape(kind, rest, found):
    text = f'def f(x):\n    """Doc.\n\n    Args:\n        x ({kind}): {rest}\n    """\n'
    assert bool(without_shape(ast.parse(text).body[0])) == found
