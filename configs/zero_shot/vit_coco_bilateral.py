# vit_coco.py with maps that the bilateral solver fits to the edges of their image: a row beside Table 1.
_base_ = 'vit_coco.py'
test_evaluator = [dict(type='PromptIoU', refine='bilateral', report=[0.1, 0.2, 0.3, 0.4])]
