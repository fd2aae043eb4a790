# DINO, ViT-S/16, ImageNet-1K, 300 epochs on 16 GPUs: k-NN 73.3 and linear 76.0 (README,
# facebookresearch/dino).
_base_ = ['./vits_in1k_100e.py']
model = dict(
    head=dict(train_length=True),  # norm_last_layer false
    teacher_temperature=(0.04, 0.07),
    warmup_epochs=30,
)
train_cfg = dict(max_epochs=300)
