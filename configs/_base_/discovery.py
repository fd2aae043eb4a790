# What object discovery changes of a zero-shot evaluation: every object counts, nothing is clicked on.
_base_ = './zero_shot.py'
discovery_pipeline = [dict(type='LoadImage'), dict(type='PackPrompts')]
# TokenCut's threshold (arXiv 2202.11539); its images have all boxes of VOC trainval, these have masks.
discovery = [dict(type='ObjectDiscovery', number=1, threshold=0.2, refine=None)]
