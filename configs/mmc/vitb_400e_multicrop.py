# vitb_400e.py with ten local crops.
_base_ = ['./vitb_400e.py']
train_dataloader = dict(dataset=dict(pipeline=_base_.multicrop_pipeline))
