"""Where a vision transformer lies in a file."""

import pytest
import torch

from mmc_plugin.checkpoints.networks import find_network

ANCHOR = {'patch_embed.proj.weight': torch.ones(1), 'other': torch.zeros(1)}


def under(path, state=ANCHOR):
    """Nested dictionaries; a dot in the path stays in the names."""
    for name in reversed(path.split('/')):
        if name.endswith('.'):
            state = {name + key: value for key, value in state.items()}
        else:
            state = {name: state}
    return state


@pytest.mark.parametrize(('path', 'found', 'role'), [
    ('model', 'model.', 'network'),
    ('state_dict/module.backbone.', 'state_dict.module.backbone.', 'network'),
    ('teacher/backbone.', 'teacher.backbone.', 'teacher'),
    ('state_dict/module.momentum_encoder.', 'state_dict.module.momentum_encoder.', 'teacher'),
    ('a/b/c', 'a.b.c.', 'network'),
])  # fmt: skip
def test_path_and_role(path, found, role):
    content = under(path) | {'epoch': 3, 'optimizer': {'state': {0: ANCHOR}}, 'x': torch.ones(1)}
    network = find_network(content, 'teacher')
    assert (network.path, network.role, network.layout) == (found, role, 'timm')
    assert set(network.weights) == set(ANCHOR) and network.dropped == ['x']


def test_networks_of_optimisers_do_not_count():
    with pytest.raises(ValueError, match='holds the state of an optimiser'):
        find_network({'optimizer': ANCHOR}, 'teacher')


def test_what_is_no_teacher_is_the_student():
    content = under('encoder/module.') | under('target_encoder/module.')
    assert find_network(content, 'student').path == 'encoder.module.'
    assert find_network(content, 'student').role == 'student'
    assert find_network(content, 'teacher').path == 'target_encoder.module.'


def test_layouts():
    for anchor, layout in {
        'patch_embed.projection.weight': 'mmpretrain', 'patch_embed.proj.weight': 'timm',
        'embeddings.patch_embeddings.projection.weight': 'huggingface',
        'embeddings.patch_embeddings.weight': 'dinov3',
    }.items():  # fmt: skip
        assert find_network({'vit.' + anchor: torch.ones(1)}, 'teacher').layout == layout
    with pytest.raises(ValueError, match='no patch embedding among its 1 tensors'):
        find_network({'decoder_patch_embed.proj.weight_v': torch.ones(1)}, 'teacher')


def test_each_dictionary_is_visited_once():
    """2^30 paths lead to the innermost one, and endless ones to a dictionary in itself."""
    shared = dict(ANCHOR)
    for _ in range(30):
        shared = {'a': shared, 'b': shared}
    assert find_network(shared, 'teacher').path == 'a.' * 30
    cycle = {'model': dict(ANCHOR)}
    cycle['again'] = cycle['model']['up'] = cycle
    assert find_network(cycle, 'teacher').path == 'model.'


def test_one_weight_under_very_many_names():
    with pytest.raises(ValueError, match='more than 20,000 tensors'):
        find_network(dict.fromkeys(map(str, range(20_001)), torch.ones(1)), 'teacher')
    name = 'x' * 600
    with pytest.raises(ValueError, match='holds no weights'):
        find_network({name: {name: torch.ones(1)}}, 'teacher')
