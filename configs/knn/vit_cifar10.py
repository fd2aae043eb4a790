# Table 6: k-NN on CIFAR-10, in the files of its release, pickles or binary.
#   CIFAR_ROOT=/path/to/cifar tools/test.sh configs/knn/vit_cifar10.py CHECKPOINT [GPUS]
_base_ = '../_base_/knn.py'
test_dataloader = dict(
    dataset=dict(
        sets=dict(
            train=dict(
                type='CifarImages',
                data_root='{{$CIFAR_ROOT:data/cifar}}',
                split='train',
                classes=10,
            ),
            test=dict(
                type='CifarImages', data_root='{{$CIFAR_ROOT:data/cifar}}', split='test', classes=10
            ),
        )
    )
)
