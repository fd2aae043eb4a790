# k-NN on ImageNet-1K: 1.28 million images vote.
#   IMAGENET_ROOT=/path/to/imagenet tools/test.sh configs/knn/vit_imagenet.py CHECKPOINT [GPUS]
_base_ = '../_base_/knn.py'
test_dataloader = dict(
    dataset=dict(
        sets=dict(
            train=dict(type='ClassFolders', data_root='{{$IMAGENET_ROOT:data/imagenet}}/train'),
            test=dict(type='ClassFolders', data_root='{{$IMAGENET_ROOT:data/imagenet}}/val'),
        )
    )
)
