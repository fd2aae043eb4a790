import numpy as np
import pytest
import torch

from mmc_plugin.evaluation.functional.label_retrieval import patch_distribution, retrieve_labels


def test_retrieved_labels_are_those_of_a_loop_in_float64():
    rng = np.random.default_rng(0)
    bank, queries = rng.normal(size=(200, 8)), rng.normal(size=(30, 8))
    labels = rng.dirichlet(np.ones(5), 200)
    found = retrieve_labels(*(torch.from_numpy(each).float() for each in (bank, labels, queries)),
                            k=7, temperature=0.1)  # fmt: skip
    for query, got in zip(queries, found.numpy(), strict=True):
        cosine = bank @ query / np.linalg.norm(bank, axis=1) / np.linalg.norm(query)
        nearest = np.argsort(-cosine)[:7]
        weight = np.exp(cosine[nearest] / 0.1)
        np.testing.assert_allclose(got, weight @ labels[nearest] / weight.sum(), atol=1e-5)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize('shape, cells', [((12, 18), (3, 6)), ((11, 17), (3, 5)), ((2, 3), (4, 3))])
def test_shares_of_patches_are_those_of_a_loop(shape, cells):
    labels = np.random.default_rng(1).integers(-1, 4, shape)
    labels[labels == 3] = 255
    found = patch_distribution(torch.from_numpy(labels), *cells, 3).numpy()
    expected = np.zeros((*cells, 3))
    for y in range(shape[0]):
        for x in range(shape[1]):
            if 0 <= labels[y, x] < 3:
                row = int((y + 0.5) * cells[0] / shape[0])
                column = int((x + 0.5) * cells[1] / shape[1])
                expected[row, column, labels[y, x]] += 1
    expected /= np.maximum(expected.sum(-1, keepdims=True), 1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_wrong_settings_get_a_sentence():
    few = torch.ones(3, 2), torch.ones(3, 1), torch.ones(1, 2)
    with pytest.raises(ValueError, match='between 1 and the 3 labelled patches, got 4'):
        retrieve_labels(*few, k=4)
    with pytest.raises(ValueError, match='temperature must be positive, got 0'):
        retrieve_labels(*few, k=1, temperature=0)
