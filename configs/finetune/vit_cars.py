# Table 7: finetuning on Stanford Cars.
#   CARS_ROOT=/path/to/cars MMC_CHECKPOINT=… python tools/train.py configs/finetune/vit_cars.py
_base_ = ['../_base_/finetune.py']
model = dict(head=dict(num_classes=196))
train_dataloader = dict(
    dataset=dict(
        source=dict(
            type='StanfordCars', data_root='{{$CARS_ROOT:data/stanford_cars}}', split='train'
        )
    )
)
val_dataloader = dict(
    dataset=dict(
        source=dict(
            type='StanfordCars', data_root='{{$CARS_ROOT:data/stanford_cars}}', split='test'
        )
    )
)
test_dataloader = val_dataloader
