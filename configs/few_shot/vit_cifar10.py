# Table 8: CIFAR-10, in the files of its release, pickles or binary.
#   CIFAR_ROOT=/path/to/cifar tools/test.sh configs/few_shot/vit_cifar10.py CHECKPOINT [GPUS]
_base_ = '../_base_/few_shot.py'
test_dataloader = dict(
    dataset=dict(
        sets=dict(
            test=dict(type='CifarImages', data_root='{{$CIFAR_ROOT:data/cifar}}', split='test')
        )
    )
)
