# Table 8: the test classes of miniImageNet (test.csv with filename,label; images/).
#   MINIIMAGENET_ROOT=/path/to/miniimagenet tools/test.sh configs/few_shot/vit_miniimagenet.py CHECKPOINT [GPUS]
_base_ = '../_base_/few_shot.py'
test_dataloader = dict(
    dataset=dict(
        sets=dict(
            test=dict(
                type='SplitFile',
                data_root='{{$MINIIMAGENET_ROOT:data/miniimagenet}}',
                split_file='test.csv',
            )
        )
    )
)
