# Table 10: variance of the class token over 128 crops, and of patch tokens over 128 masks, in any folder.
#   DATA_ROOT=/path/to/images tools/test.sh configs/variance/vit_folder.py CHECKPOINT [GPUS]
# Each image passes the network 256 times: for a first look add
#   --cfg-options test_dataloader.dataset.sets.test.max_images=100
_base_ = '../_base_/recognition.py'
test_cfg = dict(
    _delete_=True, type='VarianceLoop', views=128, scale=(0.2, 1.0), coverage=0.5, seed=0
)
test_dataloader = dict(
    batch_size=64,  # views
    dataset=dict(
        sets=dict(test=dict(type='UnlabelledFolder', data_root='{{$DATA_ROOT:data/images}}'))
    ),
)
test_evaluator = [dict(type='FeatureVariance')]
