# Retrieval in any folder with train/<class>/* and val/<class>/*: images of val look for their class in train.
# Without the set query each image of the database looks for the others:
#   --cfg-options test_dataloader.dataset.sets.query=None
#   DATA_ROOT=/path/to/folder tools/test.sh configs/retrieval/vit_folder.py CHECKPOINT [GPUS]
_base_ = '../_base_/retrieval.py'
test_dataloader = dict(
    dataset=dict(
        sets=dict(
            database=dict(type='ClassFolders', data_root='{{$DATA_ROOT:data/folder}}/train'),
            query=dict(type='ClassFolders', data_root='{{$DATA_ROOT:data/folder}}/val'),
        )
    )
)
