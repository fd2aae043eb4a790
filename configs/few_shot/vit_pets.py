# Table 8: Oxford-IIIT Pets (images/, annotations/test.txt).
#   PETS_ROOT=/path/to/pets tools/test.sh configs/few_shot/vit_pets.py CHECKPOINT [GPUS]
_base_ = '../_base_/few_shot.py'
test_dataloader = dict(
    dataset=dict(
        sets=dict(
            test=dict(type='OxfordIIITPet', data_root='{{$PETS_ROOT:data/pets}}', split='test')
        )
    )
)
