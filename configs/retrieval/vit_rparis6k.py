# Table 9: revisited Paris (rparis6k/gnd_rparis6k.pkl, rparis6k/jpg/), as vit_roxford5k.py.
#   REVISITED_ROOT=/path/to/folder tools/test.sh configs/retrieval/vit_rparis6k.py CHECKPOINT [GPUS]
_base_ = './vit_roxford5k.py'
test_dataloader = dict(
    dataset=dict(sets=dict(database=dict(name='rparis6k'), query=dict(name='rparis6k')))
)
