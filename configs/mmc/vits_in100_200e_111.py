# Table 4, all three losses: ViT-S/16, ImageNet-100, 200 epochs. The other rows inherit this; the
# digits of the file names say which of reconstruction, class and patch loss are on.
_base_ = ['./vits_in100_500e.py']
train_cfg = dict(max_epochs=200)  # paper, Table 4
