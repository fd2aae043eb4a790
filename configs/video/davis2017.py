# Table 2: objects followed through the videos of DAVIS-2017, with the settings of the DINO release.
#   DAVIS_ROOT=/path/to/davis2017 tools/test.sh configs/video/davis2017.py CHECKPOINT [GPUS]
_base_ = '../_base_/default_runtime.py'
checkpoint_key = 'model.features.backbone.checkpoint'
model = dict(
    type='VideoPropagation',
    features=dict(
        type='FrozenFeatures',
        backbone=dict(
            type='PretrainedViT',
            arch='auto',
            checkpoint='{{$MMC_CHECKPOINT:checkpoint.pth}}',
            out_type='raw',
        ),
        layer=-1,
        mean=[123.675, 116.28, 103.53],  # None: what the checkpoint says
        std=[58.14, 57.12, 57.375],  # sic: .228 · 255 for red, where ImageNet has .229
    ),
    size=480,  # short side
    multiple=64,  # the long one, rounded down; then both to the nearest multiple of the patch size
    last=7,  # sources beside the first frame
    radius=12,
    topk=5,
    temperature=0.1,
    batch=4,
)
test_dataloader = dict(
    batch_size=1,
    num_workers=0,  # the model reads the frames itself, so that a video is never held as a whole
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(type='DavisVideos', data_root='{{$DAVIS_ROOT:data/davis2017}}', split='val'),
)
test_evaluator = [dict(type='VideoScores')]
test_cfg = dict()
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=1),
    report=dict(type='EvaluationReportHook'),
    videos=dict(type='VideoResultsHook'),
)
# The usual wrapper of several processes refuses a model without anything to train.
model_wrapper_cfg = dict(type='MMSeparateDistributedDataParallel')
