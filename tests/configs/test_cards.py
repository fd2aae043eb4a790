"""The card and the metafile of each folder of configs, against the configs and each other."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.apis.model import ModelHub
from mmpretrain.registry import MODELS
from modelindex.load_model_index import load

from mmc_plugin.evaluation.protocols import PROTOCOLS

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs'
FOLDERS = sorted(p.name for p in CONFIGS.iterdir() if p.is_dir() and p.name != '_base_')
EACH = pytest.mark.parametrize('folder', FOLDERS)
NUMBER = re.compile(r'(?<![\w.])\d*\.\d+(?![\w.])')
# Environment variable that a config reads its images from → what the metafile calls them.
DATA = {
    'IMAGENET_ROOT': 'ImageNet-1k', 'IMAGENET100_ROOT': 'ImageNet-100',
    'CALTECH101_ROOT': 'Caltech-101', 'CAMVID_ROOT': 'CamVid',
    'ADE20K_ROOT': 'ADE20K', 'CITYSCAPES_ROOT': 'Cityscapes',
    'VOC12_ROOT': 'PASCAL VOC 2012, augmented', 'FLOWERS_ROOT': 'Oxford 102 Flowers',
    'PETS_ROOT': 'Oxford-IIIT Pets', 'CARS_ROOT': 'Stanford Cars', 'CIFAR_ROOT': 'CIFAR-',
    'ADE20K_PART_ROOT': 'ADE20K-Part', 'PASCAL_PART_ROOT': 'Pascal-Part', 'LIP_ROOT': 'LIP',
    'COCO_KEYPOINTS_ROOT': 'COCO, people', 'CUB_ROOT': 'CUB-200-2011',
    'COCO_ROOT': 'COCO', 'VOC_ROOT': 'PASCAL VOC 2007 and 2012',
    'DATA_ROOT': 'any folder of images', 'MMC_IMAGES': 'any folder of images',
}  # fmt: skip
# The same variable, but not all of the images or classes.
SOME = {('part_segmentation', 'VOC12_ROOT'): 'PASCAL VOC 2012, 16 classes'}
WIDTHS = dict(tiny=192, small=384, base=768, large=1024, huge=1280)


def card(folder: str) -> str:
    return (CONFIGS / folder / 'README.md').read_text(encoding='utf-8')


def rows(folder: str) -> list[tuple[list[str], str, str]]:
    """Of the table of configs: names, what others report, what was measured here."""
    (table,) = re.findall(r'^\| config \|.*\n\|[-|]+\n((?:\|.*\n)+)', card(folder), re.M)
    found = []
    for line in table.splitlines():
        configs, _, reported, measured = re.split(r' \| ', line.strip('| '))
        found.append((re.findall(r'\[([\w.]+)\]\(\1\)', configs), reported, measured))
    return found


def reported(folder: str, config: str) -> set[str]:
    (cell,) = [cell for names, cell, _ in rows(folder) if config in names]
    return set(NUMBER.findall(cell))


def read(folder: str, name: str) -> Config:
    if folder in ('segmentation', 'part_segmentation', 'baselines'):
        pytest.importorskip('mmseg')
    if folder == 'detection':
        pytest.importorskip('mmdet')
    return Config.fromfile(CONFIGS / folder / name)


def trains(folder: str) -> list[str]:
    """Configs of a folder that train."""
    if folder == 'dense_retrieval':  # the labelled images are those that others train on
        return []
    paths = sorted((CONFIGS / folder).glob('*.py'))
    return [p.name for p in paths if read(folder, p.name).get('train_dataloader')]


@EACH
def test_a_card_names_its_paper_and_each_config_once(folder):
    text = card(folder)
    assert text.startswith('# ') and len(text.splitlines()) < 60
    assert re.search(r'\nPaper: \[.+?\]\(https://arxiv.org/abs/\d{4}\.\d{5}\)', text)
    assert '**Recipe**' in text or '**Protocol**' in text or '**Not a reproduction.**' in text
    listed = [name for names, _, _ in rows(folder) for name in names]
    assert sorted(listed) == sorted(path.name for path in (CONFIGS / folder).glob('*.py'))


def test_the_overview_names_each_card_once():
    text = (CONFIGS / 'README.md').read_text(encoding='utf-8')
    assert sorted(re.findall(r'\]\((.*?)\)', text)) == [f'{each}/README.md' for each in FOLDERS]


@EACH
def test_commands_of_a_card_name_tools_and_configs_that_exist(folder):
    (block,) = re.findall(r'```bash\n(.*?)```', card(folder), re.DOTALL)
    paths = re.findall(r'(?:tools|configs)/[\w./]+\.(?:py|sh)', block)
    assert any(path.startswith(f'configs/{folder}/') for path in paths)
    assert not [path for path in paths if not (ROOT / path).is_file()]


@EACH
def test_links_of_a_card_lead_somewhere(folder):
    for link in re.findall(r'\]\((?!https:)(.*?)\)', card(folder)):
        path, _, anchor = link.partition('#')
        target = CONFIGS / folder / path
        assert target.is_file(), link
        if anchor:
            heads = re.findall(r'^#+ (.*)', target.read_text(encoding='utf-8'), re.M)
            slugs = [re.sub(r'[^\w\- ]', '', each.lower()).replace(' ', '-') for each in heads]
            assert anchor in slugs, link


@EACH
def test_figures_that_were_measured_here_stand_on_the_page_that_is_linked(folder):
    for names, _, measured in rows(folder):
        found = re.fullmatch(r'(.*?): \[.+\]\((.+?)(?:#.*)?\)', measured)
        if found is None:
            assert not NUMBER.search(measured), f'{names}: a figure without a page'
            continue
        page = (CONFIGS / folder / found[2]).read_text(encoding='utf-8')
        assert set(NUMBER.findall(found[1])) <= set(NUMBER.findall(page)), names


@pytest.mark.parametrize('folder', 'sit dino ibot mcssl msn maskco mocov3 mae'.split())
def test_figures_of_the_small_network_are_those_of_its_method(folder):
    title = card(folder).splitlines()[0].removeprefix('# ')
    page = (ROOT / 'docs' / 'learning.md').read_text(encoding='utf-8')
    ((cls, pat),) = re.findall(rf'^\| {title}(?: \(.*?\))? \| ([\d.]+) \| ([\d.]+) \|', page, re.M)
    (measured,) = [measured for names, _, measured in rows(folder) if 'vitt_caltech101.py' in names]
    assert f'k-NN CLS {cls}, PAT {pat}:' in measured


@pytest.mark.parametrize('protocol', [p for p in PROTOCOLS if any(f.paper for f in p.figures)])
def test_the_papers_figures_are_those_of_the_protocols(protocol):
    folder, config = protocol.config.split('/')
    known = {number for f in protocol.figures for number in NUMBER.findall(f.paper)}
    thresholds = (
        {f'.{key}' for key in '1234'} if 'mIoU at τ' in protocol.figures[0].label else set()
    )
    assert reported(folder, config) - thresholds == known


def test_the_ablation_has_the_figures_that_ablate_compares_with():
    script = (ROOT / 'tools' / 'ablate.sh').read_text(encoding='utf-8')
    known = dict(re.findall(r'"row_(\d{3})": {(.*?)}', script))
    assert len(known) == 7
    for row, figures in known.items():
        cell = reported('mmc', f'vits_in100_200e_{row}.py')
        assert set(NUMBER.findall(figures)) <= cell and len(cell) == 3


def test_figures_of_the_releases_are_those_of_the_configs_comments():
    for folder, config in [
        ('dino', 'vits_in1k_100e.py'), ('dino', 'vits_in1k_300e.py'), ('ibot', 'vits_in1k_800e.py'),
        ('mcssl', 'vits_in1k_800e.py'), ('msn', 'vits_in1k_800e.py'),
        ('msn', 'vits_in1k_800e_retuned.py'),
    ]:  # fmt: skip
        comment = (CONFIGS / folder / config).read_text(encoding='utf-8').partition('_base_')[0]
        comment = comment.replace('.1, then', '').replace('facebookresearch/msn', '')
        assert reported(folder, config) == set(re.findall(r'\b\d\d\.\d\b', comment)), config


def test_the_index_lists_every_metafile():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
    assert index == [str(p.relative_to(ROOT)) for p in sorted(CONFIGS.glob('*/metafile.yml'))]


@pytest.fixture(scope='module')
def index():
    """The index as mmpretrain's and mim's own reader gives it."""
    index = load(str(ROOT / 'model-index.yml'))
    index.build_models_with_collections()
    return index


@pytest.fixture
def models(index):
    return list(index.models)


def test_mmpretrain_registers_the_models(models, monkeypatch):
    monkeypatch.setattr(ModelHub, '_models_dict', {})
    ModelHub._register_mmpretrain_models()
    ModelHub.register_model_index(ROOT / 'model-index.yml', ROOT)
    for model in models:
        if model.config.startswith('configs/detection/') and find_spec('mmdet') is None:
            continue  # their bases are mmdetection's
        found = ModelHub.get(model.name)
        assert Path(found.config.filename) == ROOT / model.config


@EACH
def test_the_metafiles_list_every_config_that_trains(folder, models):
    listed = [m.config for m in models if m.config.split('/')[1] == folder]
    assert sorted(listed) == [f'configs/{folder}/{name}' for name in trains(folder)]


def test_a_collection_is_a_folder_and_has_the_paper_of_its_card(index, models):
    for collection in index.collections:
        (folder,) = {m.config.split('/')[1] for m in models if m.in_collection == collection.name}
        assert collection.readme == f'configs/{folder}/README.md'
        paper = collection.paper
        assert f'[{paper["Title"]}]({paper["URL"]})' in card(folder), folder


@EACH
def test_length_data_and_network_of_a_model_are_those_of_its_config(folder, models, monkeypatch):
    for variable in DATA:
        monkeypatch.setenv(variable, f'/{variable}')
    for model in models:
        if model.config.split('/')[1] != folder:
            continue
        cfg = read(folder, Path(model.config).name)
        meta, name = model.metadata.data, model.name
        length = {k: meta[k] for k in ('Epochs', 'Iterations') if k in meta}
        wanted = dict(
            Epochs=cfg.train_cfg.get('max_epochs'), Iterations=cfg.train_cfg.get('max_iters')
        )
        assert length == {key: value for key, value in wanted.items() if value}, name
        (count,) = length.values()
        short = f'{count}e' if 'Epochs' in length else f'{count // 1000}k'
        assert short in re.split(r'[_-]', name), name

        roots = {
            key for key in re.findall(r"'/(\w+)[/']", str(cfg.train_dataloader)) if key in DATA
        }
        if name == 'maskco_vit-small-p16_200e_coco':
            assert meta['Training Data'] == 'COCO'
        elif name.startswith(('dinov2_', 'mocov3_vit_')):
            assert 'Training Data' not in meta  # MMC_LINEAR says
        elif roots:
            (variable,) = roots
            told = SOME.get((folder, variable), DATA[variable])
            assert meta['Training Data'].startswith(told), name
            if variable == 'CIFAR_ROOT':
                classes = cfg.train_dataloader.dataset.source.classes
                assert meta['Training Data'] == f'CIFAR-{classes}' and f'cifar{classes}' in name
        else:
            assert name == 'mmc_vit-tiny-p8_30e_photographs'

        size = re.search(r'vit-(\w+)-p(\d+)', name)
        if size is None:  # the architecture is the checkpoint's
            assert folder in ('finetune', 'parts', 'baselines'), name
            continue
        settings = cfg.model.backbone
        settings.type = settings.type.split('.')[-1]
        settings.pop('checkpoint', None)
        init_default_scope('mmpretrain')
        with torch.device('meta'):
            width = MODELS.build(settings).embed_dims
        assert (width, settings.patch_size) == (WIDTHS[size[1]], int(size[2])), name
        assert ('fsdp' in name) == (cfg.get('runner_type') == 'FlexibleRunner')
        assert ('multicrop' in name) == ('multicrop' in model.config)
        assert ('cached' in name) == (cfg.model.type == 'CachedEncoderDecoder')
