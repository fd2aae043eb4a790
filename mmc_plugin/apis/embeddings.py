"""Features of all images of a folder, as files that other programs read."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from zipfile import BadZipFile

import numpy as np
import torch
from mmengine.logging import print_log
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import nn
from torch.utils.data import DataLoader

from ..datasets.image_files import ImageFiles
from ..datasets.image_tree import scan_images
from ..durable import write_durably, written_whole
from ..errors import InputError, needing
from ..models.features import weights_digest
from ..structures.image_frame import short_side
from ..wording import counted
from .features import frozen_features

WHAT = ('cls', 'patches', 'mean')
FORMATS = ('safetensors', 'npz', 'parquet')
ROW_GROUP = 64  # images that a reader of parquet has to decode at once
MANIFEST = 'manifest.json'


@torch.no_grad()
def embed_folder(
    source: str | os.PathLike | nn.Module,
    folder: str | os.PathLike,
    out: str | os.PathLike,
    what: Sequence[str] = ('cls',),
    layers: Sequence[int] = (-1,),
    size: int = 224,
    fit: str = 'crop',
    kind: str = 'safetensors',
    shard: int = 1024,
    half: bool = False,
    batch_size: int = 32,
    num_workers: int = 2,
    device: str | torch.device = 'cpu',
) -> dict:
    """Write features of all images below a folder; what a killed run has written is kept.

    Images are taken in the order of their names, ``shard`` in a file, ``00000.safetensors`` and so
    on; beside the features of one file nothing grows with the number of images but their names.
    The manifest says what was done and lists the files.

    A file holds, for its n readable images: ``cls`` (n, L, D); ``patches`` (n, L, h, w, D);
    ``mean`` (n, L, D), of the patches; and their names relative to the folder: in safetensors as
    ``names`` of the JSON in the metadata ``about``, in npz the array ``names``, in parquet the
    column ``name``, where the others are columns of Arrow's fixed shape tensors, one in a row.

    Args:
        source (str | PathLike | nn.Module): See :func:`frozen_features`.
        folder (str | PathLike): Any nesting, any names.
        out (str | PathLike): Folder for the files; one that an earlier call with the same settings
            left is gone on with.
        what (Sequence[str]): Of ``'cls'``, ``'patches'`` and ``'mean'``.
        layers (Sequence[int]): L layers, from 0, or negative from the end.
        size (int): Side of the square in pixels, rounded to whole patches.
        fit (str): ``'crop'``, ``'stretch'`` or ``'pad'``, see :class:`ImageFrame`.
        kind (str): ``'safetensors'``, which readers map into memory, ``'npz'`` or ``'parquet'``.
        shard (int): Images in a file.
        half (bool): Write float16 instead of float32.
        batch_size (int): Images in a batch.
        num_workers (int): Processes that decode.
        device (str | torch.device): Where the model runs.

    Returns:
        dict: The manifest.

    Raises:
        ImportError: If parquet is asked for and pyarrow is not installed.
        ValueError: If there is no image, a setting is none of the above, or ``out`` holds features
            of other images, weights or settings.
    """
    _check(what, fit, kind, shard, batch_size, num_workers)
    folder, out = os.fspath(folder), Path(out)
    if not os.path.isdir(folder):
        found = 'is a file' if os.path.exists(folder) else 'does not exist'
        raise FileNotFoundError(f'The folder {folder!r} {found}: name one that holds images.')
    names = scan_images(folder)
    if not names:
        raise InputError(f'There is no image in {folder!r} or below.')
    if kind == 'parquet':
        _check_names(names)
    model = frozen_features(source, device)
    model.refuse_grid_settings()
    size = model.canvas(size)
    settings = dict(
        folder=os.path.abspath(folder), images=len(names),
        names_sha256=hashlib.sha256('\0'.join(names).encode(errors='surrogateescape')).hexdigest(),
        weights_sha256=weights_digest(model.backbone), mean=model.mean.flatten().tolist(),
        std=model.std.flatten().tolist(), what=list(what), layers=list(layers), size=size, fit=fit,
        kind=kind, shard=shard, half=half,
    )  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    manifest = _begin(out / MANIFEST, settings)
    for place in range(len(manifest['files']), -(-len(names) // shard)):
        part = names[place * shard : (place + 1) * shard]
        files = ImageFiles([os.path.join(folder, each) for each in part],
                           short_side(size), size, fit)  # fmt: skip
        features, readable = _encode(model, files, what, layers, batch_size, num_workers, half)
        kept = [name for name, ok in zip(part, readable, strict=True) if ok]
        path = out / f'{place:05d}.{kind}'
        with written_whole(str(path)) as temporary:
            _write(kind, temporary, kept, features, settings['weights_sha256'])
        unreadable = [name for name, ok in zip(part, readable, strict=True) if not ok]
        manifest['files'].append(dict(name=path.name, images=len(kept), unreadable=unreadable))
        # After the file: a file that no manifest lists is written again.
        write_durably(out / MANIFEST, json.dumps(manifest, indent=1))
        left_out = f', {len(unreadable)} unreadable' if unreadable else ''
        print_log(f'{path}: {counted(len(kept), "image")}{left_out}', logger='current')
    return manifest


def read_embeddings(
    out: str | os.PathLike,
) -> Iterator[tuple[list[str], dict[str, np.ndarray]]]:
    """What :func:`embed_folder` has written, file after file.

    Args:
        out (str | PathLike): Its folder.

    Yields:
        tuple[list[str], dict[str, np.ndarray]]: Names of n images, and their arrays.

    Raises:
        FileNotFoundError: If there is no manifest, or a file that it lists is gone.
        ValueError: If one of them is damaged.
    """
    for each in read_manifest(out)['files']:
        path = Path(out) / each['name']
        try:
            yield _read(path)
        except (SafetensorError, BadZipFile, EOFError, ValueError, KeyError) as error:
            raise InputError(
                f'{path} is damaged ({error}): remove {path.parent} and write it again.'
            ) from error


def read_manifest(out: str | os.PathLike) -> dict:
    """What :func:`embed_folder` returned when it wrote a folder.

    Args:
        out (str | PathLike): That folder.

    Returns:
        dict: ``settings``, and ``files``, each with ``name``, ``images`` and ``unreadable``.

    Raises:
        FileNotFoundError: If there is no manifest.
        ValueError: If it is damaged, or another program's.
    """
    path = Path(out) / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f'There is no {path}: name the folder that tools/embed.py wrote.')
    try:
        manifest = json.loads(path.read_text())
        needed = {'folder', 'weights_sha256', 'what', 'layers', 'size', 'fit', 'kind'}
        whole = needed <= set(manifest['settings']) and all(
            {'name', 'images', 'unreadable'} <= set(each) for each in manifest['files']
        )
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise InputError(
            f'{path} is not, or no longer, a manifest of tools/embed.py: name another folder, or '
            'remove this one and write it again.'
        )
    return manifest


def _check(
    what: Sequence[str], fit: str, kind: str, shard: int, batch_size: int, num_workers: int
) -> None:
    if not what or set(what) - set(WHAT):
        raise InputError(
            f'what must be some of {", ".join(WHAT)}, got {", ".join(what) or "none"}.'
        )
    if fit not in ('crop', 'stretch', 'pad'):
        raise InputError(f"fit must be 'crop', 'stretch' or 'pad', got {fit!r}.")
    if kind not in FORMATS:
        raise InputError(f'The format must be one of {", ".join(FORMATS)}, got {kind!r}.')
    if kind == 'parquet':
        _pyarrow()
    if shard < 1:
        raise InputError(f'shard must be a positive number of images, got {shard}.')
    if batch_size < 1 or num_workers < 0:
        raise InputError(
            f'batch_size must be positive and num_workers not negative, got {batch_size} and '
            f'{num_workers}.'
        )


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if not name.isprintable() and any('\udc80' <= letter <= '\udcff' for letter in name):
            raise InputError(
                f'The name {name!r} is not UTF-8, as the strings of parquet are: rename the file, '
                'or write safetensors.'
            )


def _pyarrow() -> tuple[ModuleType, ModuleType]:
    with needing('parquet files need pyarrow: pip install pyarrow'):
        import pyarrow
        import pyarrow.parquet
    return pyarrow, pyarrow.parquet


def _write(
    kind: str, path: str, names: list[str], features: dict[str, np.ndarray], weights: str
) -> None:
    if kind == 'npz':
        with open(path, 'wb') as file:  # np.savez would add a suffix to a name
            np.savez(file, names=np.array(names, str), **features)
    elif kind == 'parquet':
        pa, pq = _pyarrow()
        columns = {
            key: pa.FixedShapeTensorArray.from_numpy_ndarray(value)
            for key, value in features.items()
        }
        table = pa.table(dict(name=pa.array(names, pa.string()), **columns))
        # Features are all but noise: to compress them takes time and saves next to nothing.
        pq.write_table(table, path, ROW_GROUP, compression='none', use_dictionary=['name'])
    else:
        # One entry: several come in any order, and the same features would be other bytes.
        about = json.dumps(dict(names=names, weights_sha256=weights))
        save_file(features, path, dict(about=about))


def _read(path: Path) -> tuple[list[str], dict[str, np.ndarray]]:
    """Names and arrays of a file."""
    if path.suffix == '.npz':
        with open(path, 'rb') as file, np.load(file) as arrays:
            found = dict(arrays)
        return found.pop('names').tolist(), found
    if path.suffix == '.parquet':
        table = _pyarrow()[1].read_table(path)
        names = table['name'].to_pylist()
        return names, {
            key: table[key].combine_chunks().to_numpy_ndarray()
            for key in table.column_names
            if key != 'name'
        }
    with safe_open(str(path), 'np') as arrays:
        found = {key: arrays.get_tensor(key) for key in arrays.keys()}
        return json.loads(arrays.metadata()['about'])['names'], found


def _begin(path: Path, settings: dict) -> dict:
    """A new manifest, or the one that is there."""
    if not path.is_file():
        return dict(settings=settings, files=[])
    manifest = read_manifest(path.parent)
    other = [key for key, value in settings.items() if manifest['settings'].get(key) != value]
    if other:
        raise InputError(
            f'{path.parent} holds features with other settings ({", ".join(other)}): name another '
            'folder, or remove it.'
        )
    return manifest


def _encode(model, files, what, layers, batch_size, num_workers, half):
    """Arrays of the readable images of a shard, and which are readable."""
    rows = {key: [] for key in what}
    readable = []
    for images, ok in DataLoader(files, batch_size, num_workers=num_workers):
        readable += ok.tolist()
        if not ok.any():
            continue
        cls, patches = (
            torch.stack(each, 1).float()
            for each in model.tokens(model.normalise(images[ok]), layers)
        )
        found = dict(cls=cls, patches=patches, mean=patches.flatten(2, 3).mean(2))
        for key in what:
            rows[key].append((found[key].half() if half else found[key]).cpu().numpy())
    arrays = {key: np.concatenate(each) for key, each in rows.items() if each}
    return arrays, readable
