# The same with a ViT-S/16.
_base_ = ['./vitb_pascal_part.py']
model = _base_.vits16
