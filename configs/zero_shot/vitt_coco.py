# Table 1 for a machine without a GPU: as vits_coco.py, in small batches.
_base_ = 'vits_coco.py'
test_dataloader = dict(batch_size=2, num_workers=1)
