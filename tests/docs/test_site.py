"""The site builds without a warning: links, anchors, pictures and docstrings."""

import json
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest

from mmc_plugin.version import __version__

ROOT = Path(__file__).resolve().parents[2]


def build(out: Path, config: Path = ROOT / 'mkdocs.yml') -> subprocess.CompletedProcess:
    pytest.importorskip('mkdocs')
    command = [sys.executable, '-m', 'mkdocs', 'build', '--strict', '-f', config, '-d', out]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT,
        env=dict(os.environ, NO_MKDOCS_2_WARNING='1'),
    )  # fmt: skip


def dead_links(site: Path) -> list[tuple[Path, str]]:
    """Page and link of what leads nowhere within the site, notebooks included."""
    pages = {path: path.read_text(encoding='utf-8') for path in site.rglob('*.html')}
    anchors = {path: set(re.findall(r'\bid="(.*?)"', text)) for path, text in pages.items()}
    dead = []
    for page, text in pages.items():
        for link in re.findall(r'<a [^>]*?href="(.*?)"|<img [^>]*?src="(.*?)"', text):
            link = unquote(unescape(''.join(link)))
            path, _, anchor = link.partition('#')
            if re.match(r'\w+:|/', link):  # elsewhere; /: the page for what is not found
                continue
            target = (page.parent / path).resolve() if path else page
            target = target / 'index.html' if target.is_dir() else target
            if not target.is_file() or anchor and anchor not in anchors.get(target, [anchor]):
                dead.append((page, link))
    return dead


def test_site_builds_without_warnings(tmp_path):
    older = tmp_path / 'site' / '0.0.9' / 'index.html'
    older.parent.mkdir(parents=True)
    older.touch()
    done = build(tmp_path / 'site' / 'VERSION')
    assert done.returncode == 0 and 'WARNING' not in done.stderr, done.stderr
    listed = json.loads((tmp_path / 'site' / 'versions.json').read_text())
    assert [each['version'] for each in listed] == [__version__, '0.0.9']
    assert f'url={__version__}/' in (tmp_path / 'site' / 'index.html').read_text()
    site = tmp_path / 'site' / __version__
    pages = list(site.rglob('*.html'))
    assert len(pages) > 30
    for page in pages:  # nothing is fetched from elsewhere
        text = page.read_text(encoding='utf-8')
        assert 'src="http' not in text and 'fonts.googleapis' not in text, page
        assert f'mmc_plugin {__version__}' in text, page
    assert not dead_links(site)
    api = (site / 'api' / 'apis' / 'index.html').read_text(encoding='utf-8')
    assert 'id="mmc_plugin.apis.prompt_segmenter.PromptSegmenter.segment"' in api
    assert ':class:' not in api
    folders = [path.parent.name for path in (ROOT / 'configs').glob('*/README.md')]
    for folder in folders:  # a card a folder, in the menu, with its configs beside it
        page = (site / 'configs' / folder / 'index.html').read_text(encoding='utf-8')
        (menu,) = re.findall(
            r'<nav class="md-nav md-nav--primary.*?</nav>\s*</div>', page, re.DOTALL
        )
        assert all(f'href="../{each}/"' in menu for each in folders if each != folder)
        for config in re.findall(r'href="([\w.]+\.py)"', page):
            source = (ROOT / 'configs' / folder / config).read_bytes()
            assert (site / 'configs' / folder / config).read_bytes() == source


def test_a_dead_link_stops_the_build(tmp_path):
    docs = tmp_path / 'docs'
    docs.mkdir()
    (docs / 'index.md').write_text('# A\n\n[gone](nowhere.md), [there](#no-such-place)\n')
    text = (ROOT / 'mkdocs.yml').read_text(encoding='utf-8').partition('\nhooks:')[0]
    (tmp_path / 'mkdocs.yml').write_text(text)
    done = build(tmp_path / 'site', tmp_path / 'mkdocs.yml')
    assert done.returncode != 0
    assert 'nowhere.md' in done.stderr and 'no-such-place' in done.stderr


PAGES = {
    path: path.read_text(encoding='utf-8')
    for path in [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *(ROOT / 'docs').glob('*.md')]
}


# Links to elsewhere are not followed here, where there may be no network: CONTRIBUTING.md says how.
ELSEWHERE = re.compile(
    r'https://(arxiv\.org/abs/\d{4}\.\d{5}'
    r'|github\.com/[\w-]+/[\w.-]+(/blob/[\w./-]+)?'
    r'|docs\.pytorch\.org/docs/stable/[\w./-]+)'
)


def test_links_to_elsewhere_have_the_form_of_their_host():
    cards = {path: path.read_text(encoding='utf-8') for path in ROOT.glob('configs/**/*.md')}
    found = [link for text in (PAGES | cards).values()
             for link in re.findall(r'\]\((https?:.*?)\)|<(https?:.*?)>', text)]  # fmt: skip
    links = {link for pair in found for link in pair if link}
    assert len(links) > 10
    assert not [link for link in links if not ELSEWHERE.fullmatch(link)]


def test_pictures_are_small_described_and_all_of_them_are_shown():
    shown = {
        (page.parent / name).resolve(): words
        for page, text in PAGES.items()
        for words, name in re.findall(r'!\[(.*?)\]\((.*?)\)', text, re.DOTALL)
    }
    assert set(shown) == set((ROOT / 'docs' / 'assets').iterdir())
    assert max(path.stat().st_size for path in shown) < 300_000
    assert not [path for path, words in shown.items() if len(words.split()) < 3]


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_every_config_and_file_that_a_page_names_exists(page):
    """Paths of this checkout in code and links."""
    text = PAGES[page]
    named = set(
        re.findall(r'(?<![\w/.])((?:configs|tools|docs)/[\w./-]+\.(?:py|sh|md|png|jpg))', text)
    )
    assert not [path for path in named if not (ROOT / path).exists()]
