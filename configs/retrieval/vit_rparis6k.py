# Table 9: revisited Paris (rparis6k/gnd_rparis6k.pkl, rparis6k/jpg/) at 224 pixels, one scale. For 512 and three scales:
#   --cfg-options model.size=512 test_cfg.scales="(1,0.7071067811865476,0.5)"
#   REVISITED_ROOT=/path/to/folder tools/test.sh configs/retrieval/vit_rparis6k.py CHECKPOINT [GPUS]
_base_ = '../_base_/retrieval.py'
model = dict(fit='long')  # the whole photograph, its longer side 224
test_cfg = dict(scales=(1.0,))
test_dataloader = dict(
    dataset=dict(
        sets=dict(
            database=dict(
                type='RevisitedLandmarks',
                data_root='{{$REVISITED_ROOT:data/revisited}}',
                name='rparis6k',
                part='database',
            ),
            query=dict(
                type='RevisitedLandmarks',
                data_root='{{$REVISITED_ROOT:data/revisited}}',
                name='rparis6k',
                part='query',
                crop_queries=True,
            ),
        )
    )
)
