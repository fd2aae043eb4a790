# Part retrieval of arXiv 2301.11915 on birds in CUB-200-2011: right eye, right leg, left wing, tail.
#   CUB_ROOT=/path/to/CUB_200_2011 tools/test.sh configs/parts/vit_cub_parts.py CHECKPOINT [GPUS]
_base_ = '../_base_/parts.py'
test_dataloader = dict(
    dataset=dict(
        sets=dict(
            database=dict(
                type='CubParts',
                data_root='{{$CUB_ROOT:data/CUB_200_2011}}',
                split='all',  # train and test [release]
                side=0.5,  # of the distance to the nearest other keypoint [release]; 1 in the text
            )
        )
    )
)
