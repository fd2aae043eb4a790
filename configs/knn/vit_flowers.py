# Table 6: k-NN on Oxford Flowers-102 (jpg/, imagelabels.mat, setid.mat).
#   FLOWERS_ROOT=/path/to/flowers102 tools/test.sh configs/knn/vit_flowers.py CHECKPOINT [GPUS]
_base_ = '../_base_/knn.py'
test_dataloader = dict(
    dataset=dict(
        sets=dict(
            train=dict(
                type='Flowers102', data_root='{{$FLOWERS_ROOT:data/flowers102}}', split='trainval'
            ),
            test=dict(
                type='Flowers102', data_root='{{$FLOWERS_ROOT:data/flowers102}}', split='test'
            ),
        )
    )
)
