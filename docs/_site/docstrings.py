"""Docstrings as the site shows them: each name once, and Sphinx's roles as plain code."""

import re

import griffe

_ROLE = re.compile(r':\w+:`[~.]?([^`]+)`')


class Docstrings(griffe.Extension):
    """Changes what was read from the sources, before pages are made of it."""

    def on_instance(self, *, obj: griffe.Object, **kwargs) -> None:
        """``:func:`name``` becomes ``name``."""
        if obj.docstring:
            obj.docstring.value = _ROLE.sub(r'`\1`', obj.docstring.value)

    def on_package(self, *, pkg: griffe.Module, **kwargs) -> None:
        """A name stands in the module that defines it, and in none that imports it."""
        for name in [name for name, member in pkg.members.items() if member.is_alias]:
            pkg.del_member(name)
        for module in pkg.modules.values():
            self.on_package(pkg=module)
