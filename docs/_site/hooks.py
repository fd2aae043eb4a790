"""Pages of the site that stand elsewhere, and its versions.

The API, the cards of the configs and files of the root are made pages. Built into a folder VERSION,
the site takes the place of that version beside the others; their list and the page that leads to
the newest are those of mike, which the theme reads.
"""

import json
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

VERSION = re.search(
    r"__version__ = '(.+)'", (ROOT / 'mmc_plugin' / 'version.py').read_text(encoding='utf-8')
)[1]


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
    """What is generated comes where the menu names it, the API last; the foot tells the version."""
    config.copyright = f'mmc_plugin {VERSION}'
    folder = Path(config.site_dir)
    if folder.name == 'VERSION':
        config.site_dir = str(folder.with_name(VERSION))
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


def on_page_content(html: str, page, **_) -> str:
    """Links of notebooks are those between their files, which GitHub and Jupyter follow."""
    if page.file.src_uri.endswith('.ipynb'):
        html = re.sub(r'href="((?:\.\./)?\w+)\.(?:md|ipynb)(#[\w-]+)?"', r'href="../\1/\2"', html)
    return html


def on_post_build(config) -> None:
    """List the versions that are there, the newest first."""
    folder = Path(config.site_dir)
    if folder.name != VERSION:
        return
    found = [path.parent.name for path in folder.parent.glob('*/index.html')]
    found.sort(key=lambda name: [int(part) for part in re.findall(r'\d+', name)], reverse=True)
    listed = [dict(version=name, title=name, aliases=[]) for name in found]
    folder.with_name('versions.json').write_text(json.dumps(listed))
    folder.with_name('index.html').write_text(
        f'<!DOCTYPE html><meta http-equiv="refresh" content="0; url={found[0]}/">'
        f'<title>mmc_plugin</title><a href="{found[0]}/">mmc_plugin {found[0]}</a>'
    )
