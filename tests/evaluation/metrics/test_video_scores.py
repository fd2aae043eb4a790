import numpy as np
import pytest

from mmc_plugin.datasets.davis import DavisVideos, read_objects
from mmc_plugin.evaluation.functional.davis_scores import boundary_accuracy
from mmc_plugin.evaluation.metrics import VideoScores
from mmc_plugin.structures.palette import encode_palette


def sample(root, idx, change=lambda mask, place: mask):
    """The truth of a sequence as its prediction, changed."""
    found = DavisVideos(str(root))[idx]['data_samples'].to_dict()
    if found['skipped'] is None:
        masks = [
            change(read_objects(path), place) for place, path in enumerate(found['mask_paths'])
        ]
        found['masks'] = [encode_palette(mask.astype(np.uint8)) for mask in masks]
    return found


def evaluate(*samples):
    metric = VideoScores()
    metric.process({}, samples)
    return metric, metric.evaluate(len(samples))


def test_truth_scores_one(davis):
    metric, scalars = evaluate(sample(davis, 0), sample(davis, 1))
    numbers = metric.numbers
    assert (numbers['sequences'], numbers['objects'], numbers['frames']) == (2, 3, 5 + 3)
    assert scalars['video/J&F'] == scalars['video/J_mean'] == scalars['video/F_mean'] == 1
    assert scalars['video/J_recall'] == 1 and scalars['video/F_decay'] == 0
    assert numbers['notes'] == numbers['skipped_sequences'] == []


def test_first_and_last_frame_do_not_count_and_each_object_does_once(davis):
    """Object 1 of the first sequence is lost in one of five scored frames, 2 in the last one."""

    def lose(mask, place):
        gone = dict.fromkeys((0, 6), (1, 2)) | {3: (1,), 5: (2,)}
        return np.where(np.isin(mask, gone.get(place, ())), 0, mask)

    metric, scalars = evaluate(sample(davis, 0, lose), sample(davis, 1))
    both = metric.numbers['per_sequence']['both']
    assert both['objects']['1']['J'] == dict(mean=0.8, recall=0.8, decay=0)
    # Quarters of five frames are frames 1 and 2, and 4 and 5.
    assert both['objects']['2']['F'] == dict(mean=0.8, recall=0.8, decay=0.5)
    assert both['J&F'] == pytest.approx(0.8) and both['J']['decay'] == pytest.approx(0.25)
    # The mean is over three objects, not over two sequences.
    assert scalars['video/J&F'] == pytest.approx((0.8 + 0.8 + 1) / 3)
    assert scalars['video/F_decay'] == pytest.approx(0.5 / 3)


def test_scores_are_those_of_each_object_alone(davis):
    metric, _ = evaluate(sample(davis, 0, lambda mask, place: np.roll(mask, 3 * place, 1)))
    for index in (1, 2):
        regions, contours = [], []
        for place in range(1, 6):
            path = davis / 'Annotations' / '480p' / 'both' / f'{place:05d}.png'
            truth = read_objects(str(path)) == index
            moved = np.roll(truth, 3 * place, 1)
            regions.append((truth & moved).sum() / (truth | moved).sum())
            contours.append(boundary_accuracy(truth, moved))
        found = metric.numbers['per_sequence']['both']['objects'][str(index)]
        assert found['J']['mean'] == pytest.approx(np.mean(regions))
        assert found['F']['mean'] == pytest.approx(np.mean(contours))
        assert found['J&F'] == pytest.approx((np.mean(regions) + np.mean(contours)) / 2)


def change_mask(root, place, change):
    path = root / 'Annotations' / '480p' / 'both' / f'{place:05d}.png'
    path.write_bytes(encode_palette(change(read_objects(str(path))).astype(np.uint8)))


def test_what_is_odd_about_objects_is_noted(davis):
    def later(mask):
        mask[60:, :9] = 3
        return mask

    for place in (2, 3):
        change_mask(davis, place, later)
    for place in (4, 5):
        change_mask(davis, place, lambda mask: np.where(mask == 2, 0, mask))
    metric, _ = evaluate(sample(davis, 0))
    notes = [words for name, words in metric.numbers['notes'] if name == 'both']
    assert notes == [
        'object 2 is absent from 2 of 5 scored frames, the first is frame 4',
        'object 3 first appears in frame 2, after the first mask: it is not scored',
    ]
    assert metric.numbers['objects'] == 2 and metric.numbers['J&F'] == 1
    change_mask(davis, 0, lambda mask: np.where(mask == 1, 0, mask))
    metric, _ = evaluate(sample(davis, 0, lambda mask, place: np.where(mask == 1, 0, mask)))
    assert 'object 1 is not in the first mask' in metric.numbers['notes'][0][1]
    assert metric.numbers['per_sequence']['both']['objects']['1']['J']['mean'] == 0


def test_sequences_that_cannot_be_used_are_counted(davis, caplog):
    (davis / 'JPEGImages' / '480p' / 'one' / '00001.jpg').unlink()
    metric, scalars = evaluate(sample(davis, 0), sample(davis, 1), sample(davis, 0))
    assert scalars['video/J&F'] == 1 and metric.numbers['sequences'] == 1  # the repeat is dropped
    ((name, path, words),) = metric.numbers['skipped_sequences']
    assert name == 'one' and path.endswith('one') and '00001' in words
    with pytest.raises(RuntimeError, match="None of the sequences .* .1 in all.; .* 'one' .*00001"):
        evaluate(sample(davis, 1))
    broken = sample(davis, 0)
    (davis / 'Annotations' / '480p' / 'both' / '00003.png').write_bytes(b'broken')
    with pytest.raises(RuntimeError, match='00003.png. cannot be read'):
        evaluate(broken)


def test_the_sheet_has_a_row_for_each_sequence(davis):
    metric, _ = evaluate(sample(davis, 0), sample(davis, 1))
    one, _ = evaluate(sample(davis, 0))
    sheets = [each.pictures(None)[''] for each in (metric, one)]
    assert all(sheet.dtype == np.uint8 and sheet.ndim == 3 for sheet in sheets)
    assert sheets[0].shape[0] > 1.5 * sheets[1].shape[0]
    assert 'official evaluation' in metric.protocol()
