# What object discovery changes of a zero-shot evaluation: every object counts, nothing is clicked on.
_base_ = './zero_shot.py'
discovery_pipeline = [dict(type='LoadImage'), dict(type='PackPrompts')]
# threshold=None is Otsu's; TokenCut (arXiv 2202.11539) takes .2, on keys, and all boxes of VOC trainval.
discovery = [dict(type='ObjectDiscovery', number=1, threshold=None, refine=None)]
