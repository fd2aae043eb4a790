# Table 1 with a ViT-B: as vits_coco.py, in smaller batches.
_base_ = 'vits_coco.py'
test_dataloader = dict(batch_size=4)
