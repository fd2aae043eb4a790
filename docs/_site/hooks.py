"""Pages of the site that stand elsewhere: the API, the cards of the configs, files of the root."""

import re
from pathlib import Path

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
# Pages of docs/ that are a file of the root.
FROM_ROOT = {
    'index.md': 'README.md',
    'changes.md': 'CHANGELOG.md',
    'contributing.md': 'CONTRIBUTING.md',
}


def _api_pages() -> dict[str, str]:
    """A page for each part of the package, by its path below ``docs``."""
    package = ROOT / 'mmc_plugin'
    parts = [package / 'apis', *(each for each in sorted(package.iterdir()) if each.name != 'apis')]
    pages = {}
    for part in parts:
        if part.name.startswith('_') or not (
            part.suffix == '.py' or (part / '__init__.py').is_file()
        ):
            continue
        name = f'mmc_plugin.{part.stem}'
        pages[f'api/{part.stem}.md'] = f'# {name}\n\n::: {name}\n'
    return pages


def _cards() -> dict[str, str]:
    """The overview of the configs and the card of each folder in its order, by their paths."""
    overview = ROOT / 'configs' / 'README.md'
    named = re.findall(r'\]\((\w+/README\.md)\)', overview.read_text(encoding='utf-8'))
    pages = {}
    for path in (overview, *(overview.parent / name for name in named)):
        text = path.read_text(encoding='utf-8').replace('](../../docs/', '](../../')
        for page, file in FROM_ROOT.items():
            text = text.replace(f'](../../{file})', f'](../../{page})')
        pages[str(path.relative_to(ROOT))] = text
    return pages


def on_config(config):
    """What is generated comes where the menu names it, the API last."""
    for entry in config.nav:
        if 'Recipes' in entry:
            entry['Recipes'] = list(_cards())
    config.nav = [*config.nav, {'API': list(_api_pages())}]
    return config


def on_files(files: Files, config) -> Files:
    """Add the pages."""
    pages = _api_pages()
    for path, source in FROM_ROOT.items():
        text = (ROOT / source).read_text(encoding='utf-8').replace('](docs/', '](')
        for page, file in FROM_ROOT.items():
            text = text.replace(f']({file})', f']({page})')
        pages[path] = text
    pages |= _cards()
    for path in sorted((ROOT / 'configs').rglob('*.py')):  # what the cards link to
        pages[str(path.relative_to(ROOT))] = path.read_text(encoding='utf-8')
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, **_) -> str:
    """The configs stand beside ``docs`` in the checkout, and below it on the site."""
    return markdown.replace('](../configs/', '](configs/')
