# COCO val2017 to click on, Table 1 of arXiv 2308.11448: five points in each category of an image.
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='DrawPrompts', grid=30, repeats=5, how='random', seed=0),
    dict(type='PackPrompts'),
]
test_dataloader = dict(
    batch_size=8,  # on a CPU 2
    num_workers=4,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='CocoPrompts',
        data_root='{{$COCO_ROOT:data/coco}}',
        ann_file='annotations/instances_val2017.json',
        img_dir='val2017',
        by='category',  # or 'instance': each on its own
        pipeline=test_pipeline,
    ),
)
test_evaluator = [dict(type='PromptIoU', report=[0.1, 0.2, 0.3, 0.4])]
# The *_similarity.py configs.
similarity = [dict(type='SimilarityOverlap', bins=200, include_background=False)]
test_cfg = dict()
