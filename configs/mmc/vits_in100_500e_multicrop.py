# vits_in100_500e.py with ten local crops.
_base_ = ['./vits_in100_500e.py']
train_dataloader = dict(dataset=dict(pipeline=_base_.multicrop_pipeline))
