# Table 5 and Fig. 5: cosines of patches within and between categories; see colour_coco.py.
_base_ = 'colour_coco.py'
test_evaluator = _base_.similarity
