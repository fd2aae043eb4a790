# Every tenth frame of DAVIS-2017 val to click on, with the prompts and measures of COCO's.
_base_ = 'coco_prompts.py'
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='DavisFramePrompts',
        data_root='{{$DAVIS_ROOT:data/davis2017}}',
        split='val',
        interval=10,
        pipeline=_base_.test_pipeline,
    )
)
