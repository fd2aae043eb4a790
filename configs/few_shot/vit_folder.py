# Few-shot episodes from any folder with val/<class>/*.
#   DATA_ROOT=/path/to/folder tools/test.sh configs/few_shot/vit_folder.py CHECKPOINT [GPUS]
_base_ = '../_base_/few_shot.py'
test_dataloader = dict(
    dataset=dict(
        sets=dict(test=dict(type='ClassFolders', data_root='{{$DATA_ROOT:data/folder}}/val'))
    )
)
