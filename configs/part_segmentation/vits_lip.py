# The same with a ViT-S/16.
_base_ = ['./vitb_lip.py']
model = _base_.vits16
