# Table 7: finetuning on Oxford-IIIT Pets.
#   PETS_ROOT=/path/to/pets MMC_CHECKPOINT=… python tools/train.py configs/finetune/vit_pets.py
_base_ = ['../_base_/finetune.py']
model = dict(head=dict(num_classes=37))
train_dataloader = dict(
    dataset=dict(
        source=dict(type='OxfordIIITPet', data_root='{{$PETS_ROOT:data/pets}}', split='trainval')
    )
)
val_dataloader = dict(
    dataset=dict(
        source=dict(type='OxfordIIITPet', data_root='{{$PETS_ROOT:data/pets}}', split='test')
    )
)
test_dataloader = val_dataloader
