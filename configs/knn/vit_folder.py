# k-NN on any folder with train/<class>/* and val/<class>/*.
#   DATA_ROOT=/path/to/folder tools/test.sh configs/knn/vit_folder.py CHECKPOINT [GPUS]
# CHECKPOINT is any that load_backbone reads: of a run of this package, of DINO, timm, …
_base_ = '../_base_/knn.py'
test_dataloader = dict(
    dataset=dict(
        sets=dict(
            train=dict(type='ClassFolders', data_root='{{$DATA_ROOT:data/folder}}/train'),
            test=dict(type='ClassFolders', data_root='{{$DATA_ROOT:data/folder}}/val'),
        )
    )
)
