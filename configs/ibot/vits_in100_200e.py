# iBOT on ImageNet-100, for the comparison with configs/mmc/vits_in100_200e_111.py: that one's
# length and batch, iBOT's own losses and views.
_base_ = ['./vits_in1k_800e.py']
train_dataloader = dict(
    batch_size=48, dataset=dict(data_root='{{$IMAGENET100_ROOT:data/imagenet100}}/train')
)
train_cfg = dict(max_epochs=200)
