# The same with a ViT-S/16.
_base_ = ['./vitb_ade20k_part.py']
model = _base_.vits16
