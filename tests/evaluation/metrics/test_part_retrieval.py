from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS
from sklearn.metrics import average_precision_score, precision_recall_curve

from mmc_plugin.datasets.image_sets import ImageSource
from mmc_plugin.evaluation.feature_bank import FeatureBank
from mmc_plugin.evaluation.metrics import Banks, PartRetrieval, part_retrieval
from mmc_plugin.models.features import FrozenFeatures


def measure(metric, cls, pat, labels, names=('nose', 'wrist', 'ankle')):
    number = torch.arange(len(labels))
    bank = FeatureBank(cls[None], pat[None], number, number, labels)
    metric.dataset_meta = dict(
        sets=dict(database=ImageSource(['a'] * len(labels), labels.tolist(), names))
    )
    metric.process(None, [Banks(dict(database=bank), torch.device('cpu'))])
    return metric.evaluate(1)


@pytest.mark.parametrize('max_queries, elements', [(None, 2**22), (None, 1), (10, 100)])
def test_against_a_loop_with_scikit_learn(max_queries, elements, monkeypatch):
    monkeypatch.setattr(part_retrieval, '_BLOCK_ELEMENTS', elements)
    torch.manual_seed(0)
    given = dict(cls=torch.randn(40, 8), pat=torch.randn(40, 8))
    labels = torch.arange(40) * 7 % 10 % 3
    metric = PartRetrieval(max_queries)
    scalars = measure(metric, given['cls'], given['pat'], labels)
    queries = range(40) if max_queries is None else range(0, 40, 4)
    assert metric.numbers['queries'] == len(queries)
    for kind, features in given.items():
        x = features.double()
        x = x / x.norm(dim=1, keepdim=True)
        slow = [average_precision_score((labels == labels[i]).numpy(), (x @ x[i]).numpy())
                for i in queries]  # fmt: skip
        found = metric.numbers['kinds'][kind]
        assert found['map'] == pytest.approx(sum(slow) / len(slow))
        assert scalars[f'part_retrieval/{kind}_map'] == pytest.approx(100 * found['map'])
        curve = torch.zeros(20, dtype=torch.float64)
        for i in queries:
            precision, recall, _ = precision_recall_curve(labels == labels[i], x @ x[i])
            curve += torch.tensor([precision[:-1][recall[:-1] >= r - 1e-12].max()
                                   for r in metric.numbers['recalls']]) / len(queries)  # fmt: skip
        assert found['precision'] == pytest.approx(curve.tolist())
        means = []
        for part, name in enumerate(('nose', 'wrist', 'ankle')):
            own = [ap for i, ap in zip(queries, slow) if labels[i] == part]
            if own:
                means.append(sum(own) / len(own))
                assert found['parts'][name] == pytest.approx(means[-1])
        assert found['map_of_parts'] == pytest.approx(sum(means) / len(means))


def test_one_hot_features_score_one():
    labels = torch.arange(12) % 3
    metric = PartRetrieval()
    measure(metric, torch.eye(3)[labels], torch.ones(12, 2), labels)
    assert metric.numbers['kinds']['cls']['map'] == 1
    assert metric.numbers['kinds']['pat']['map'] == pytest.approx(1 / 3)  # all tie: the share


def test_what_cannot_be_measured_gets_a_sentence():
    with pytest.raises(ValueError, match='max_queries must be positive'):
        PartRetrieval(0)
    with pytest.raises(ValueError, match="needs the set 'database' and no other"):
        PartRetrieval().check(dict(database=1, query=2))
    with pytest.raises(Exception, match='No patch of the part ankle'):
        measure(PartRetrieval(), torch.eye(4), torch.eye(4), torch.tensor([0, 1, 0, 1]))


def test_the_projection_head_of_the_checkpoint_takes_part(tmp_path):
    """Its rows are those of the teacher's head; a network without a checkpoint has none."""
    config = Path(__file__).parents[3] / 'configs' / 'dino' / 'vitt_caltech101.py'
    torch.manual_seed(0)
    method = MODELS.build(Config.fromfile(str(config)).model)
    torch.save(dict(state_dict=method.state_dict()), tmp_path / 'run.pth')
    given, labels = torch.randn(12, 192), torch.arange(12) % 3
    metric = PartRetrieval()
    backbone = dict(type='PretrainedViT', checkpoint=str(tmp_path / 'run.pth'), out_type='raw')
    metric.look_at(FrozenFeatures(backbone))
    measure(metric, given, given, labels)
    logits = method.teacher.head(given).detach().double()
    unit = logits / logits.norm(dim=1, keepdim=True)
    slow = [average_precision_score((labels == own).numpy(), (unit @ row).numpy())
            for own, row in zip(labels, unit)]  # fmt: skip
    assert metric.numbers['kinds']['projected']['map'] == pytest.approx(sum(slow) / 12)
    assert slow != [metric.numbers['kinds']['cls']['map']] * 12

    metric.look_at(FrozenFeatures(dict(type='PretrainedViT', arch='deit-tiny', out_type='raw')))
    assert set(measure(metric, given, given, labels)) == {
        f'part_retrieval/{kind}_{key}' for kind in ('cls', 'pat') for key in ('map', 'map_of_parts')
    }
