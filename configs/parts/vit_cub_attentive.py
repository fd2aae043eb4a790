# The same by attentive probing: one learned query over all tokens; lr .01 for each 256 patches [release].
#   CUB_ROOT=/path/to/CUB_200_2011 MMC_CHECKPOINT=… python tools/train.py configs/parts/vit_cub_attentive.py
_base_ = ['./vit_cub_linear.py']
model = dict(head=dict(_base_.attentive_head, _delete_=True, num_classes=4))
optim_wrapper = dict(optimizer=dict(lr=0.04))
