# Part retrieval of arXiv 2301.11915: patches around keypoints, found again by cosine.
_base_ = './recognition.py'
model = dict(fit='stretch')  # the whole patch to 224 pixels, bicubic [release of the study]
test_evaluator = [dict(type='PartRetrieval', max_queries=None)]  # all look for others [release]
