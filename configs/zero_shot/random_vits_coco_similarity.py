# Table 5 and Fig. 5: cosines of patches within and between categories; see random_vits_coco.py.
_base_ = 'random_vits_coco.py'
test_evaluator = _base_.similarity
