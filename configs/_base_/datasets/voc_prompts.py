# Pascal VOC 2012 val to click on, with the prompts and measures of COCO's.
_base_ = 'coco_prompts.py'
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='VocPrompts',
        data_root='{{$VOC12_ROOT:data/VOCdevkit/VOC2012}}',
        split='val',
        by='category',
        pipeline=_base_.test_pipeline,
    )
)
