# As vits16.py, with ViT-B/16.
_base_ = ['./vits16.py']
model = dict(backbone=dict(arch='deit-base'), decode_head=dict(in_channels=[768] * 4))
