# Tables 4 and 11: k-NN on ImageNet-100. The folder may hold all of ImageNet: the 100 classes are taken.
#   IMAGENET100_ROOT=/path/to/imagenet100 tools/test.sh configs/knn/vit_in100.py CHECKPOINT [GPUS]
_base_ = '../_base_/knn.py'
test_dataloader = dict(
    dataset=dict(
        sets=dict(
            train=dict(
                type='ClassFolders',
                data_root='{{$IMAGENET100_ROOT:data/imagenet100}}/train',
                classes='imagenet100',
            ),
            test=dict(
                type='ClassFolders',
                data_root='{{$IMAGENET100_ROOT:data/imagenet100}}/val',
                classes='imagenet100',
            ),
        )
    )
)
