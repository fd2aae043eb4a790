# Table 6: k-NN on Oxford-IIIT Pets (images/, annotations/trainval.txt and test.txt).
#   PETS_ROOT=/path/to/pets tools/test.sh configs/knn/vit_pets.py CHECKPOINT [GPUS]
_base_ = '../_base_/knn.py'
test_dataloader = dict(
    dataset=dict(
        sets=dict(
            train=dict(
                type='OxfordIIITPet', data_root='{{$PETS_ROOT:data/pets}}', split='trainval'
            ),
            test=dict(type='OxfordIIITPet', data_root='{{$PETS_ROOT:data/pets}}', split='test'),
        )
    )
)
