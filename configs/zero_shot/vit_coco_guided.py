# vit_coco.py with maps that a guided filter fits to the edges of their image: a row beside Table 1.
_base_ = 'vit_coco.py'
test_evaluator = [dict(type='PromptIoU', refine='guided', report=[0.1, 0.2, 0.3, 0.4])]
