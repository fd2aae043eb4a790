# Table 9: images found again by the cosine of their class tokens.
_base_ = './recognition.py'
test_evaluator = [dict(type='Retrieval', kind='cls', ranks=(1, 5, 10))]
